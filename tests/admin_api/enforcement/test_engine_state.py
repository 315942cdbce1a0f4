# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine state survives a restart: penalties, strikes, rate windows, and countries of users."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from admin_api.enforcement.engine_state import EngineStateSaver, Restored, restore_engine_state
from sentry_engine import Engine, GeoipPaths, Policy, Reason
from sentry_engine.engine.saved_state import MAX_EVENTS
from tests.admin_api.enforcement.saved_engines import SAVED_AT

pytestmark = pytest.mark.asyncio


DATABASE = Path(__file__).parents[2] / "data" / "geoip" / "GeoLite2-City-Test.mmdb"


BRITISH, SWEDISH = "2.125.160.216", "89.160.20.112"


async def test_penalties_survive_a_restart(server, rules_folder, control):
    server.engine.penalize("198.51.100.7", 600, reason=Reason.PENALTY, rule_id="limit")
    server.engine.penalize("192.0.2.9", math.inf, reason=Reason.BLACKLISTED)
    await EngineStateSaver(server.store, server.engine, control).save()
    with Engine(Policy.load(rules_folder), core="reference") as engine:
        assert await restore_engine_state(server.store, engine, control) == Restored(2)
        verdict = engine.explain("198.51.100.7").verdict
        assert verdict.reason is Reason.PENALTY
        assert 590 < verdict.retry_after <= 600
        assert engine.explain("192.0.2.9").verdict.reason is Reason.BLACKLISTED


@pytest.mark.parametrize("core", ["reference", "native"])
async def test_a_restart_does_not_reset_failure_counters(store, core, control):
    """Two of three failures stay two of three after a restart, and the second penalty is longer than the first."""
    rule = {"type": "auth_limit", "remote_addr": "0.0.0.0/0", "max_failures": 3, "window_sec": 600}
    rule |= {"id": "guess", "penalty_duration_sec": 60, "penalty_growth": 10}
    policy = Policy.from_document({"wolfsentry": {"version": "1", "rules": [rule]}})
    with Engine(policy, core=core) as before:
        for _ in range(2):
            assert before.decide("auth_failure", "198.51.100.7").accepted
        for _ in range(4):
            before.decide("auth_failure", "192.0.2.9")
        await EngineStateSaver(store, before, control).save()
        await EngineStateSaver(store, before, control).save()
    with Engine(policy, core=core) as after:
        assert await restore_engine_state(store, after, control) == Restored(1)
        assert after.decide("auth_failure", "198.51.100.7").accepted
        assert not after.decide("auth_failure", "198.51.100.7").accepted
        moment = time.monotonic() + 61
        assert [after.decide("auth_failure", "192.0.2.9", now=moment).accepted for _ in range(4)] == [True] * 3 + [
            False
        ]
        assert 590 < after.explain("192.0.2.9", event="auth_failure", now=moment).verdict.retry_after <= 600


async def test_known_countries_survive_a_restart(store, control):
    detectors = {"new_country": {"action": "deny"}}
    document = {"wolfsentry": {"version": "1", "detectors": detectors}}
    policy = Policy.load(documents={"a": document}, geoip=GeoipPaths(country=DATABASE))
    with Engine(policy) as before:
        assert before.decide("auth_success", SWEDISH, user="ann").accepted
        await EngineStateSaver(store, before, control).save()
        await EngineStateSaver(store, before, control).save()
    with Engine(policy) as after:
        await restore_engine_state(store, after, control)
        assert after.decide("auth_success", BRITISH, user="ann").reason is Reason.NEW_COUNTRY
        assert after.decide("auth_success", SWEDISH, user="ann").accepted
        assert after.decide("auth_success", BRITISH, user="ben").accepted


async def test_a_row_that_cannot_be_read_costs_no_other(store, control, rules_folder):
    """A later version may have reasons that this one does not know."""
    with Engine(Policy.load(rules_folder)) as before:
        before.penalize("198.51.100.7", 600, reason=Reason.PENALTY)
        before.penalize("198.51.100.8", 600, reason=Reason.PENALTY)
        await EngineStateSaver(store, before, control).save()
    async with store.write() as unit:
        penalties, sources = await unit.penalties.read_all(), {"network": "nonsense", "strikes": 1}
        penalties[0]["reason"] = "moved"
        await unit.penalties.replace_all(penalties)
        await unit.sources.replace_all([sources | {"forgotten_at": None, "events": []}])
    with Engine(Policy.load(rules_folder)) as after:
        restored = await restore_engine_state(store, after, control)
        assert restored[:2] == (1, 2)
        assert "moved" in restored.problem
        assert [penalty.text for penalty in after.penalties()] == [f"{penalties[1]['network']}"]
        saver = EngineStateSaver(store, after, control)
        await saver.save()
        async with store.read() as unit:
            assert [row["network"] for row in await unit.penalties.read_all()] == [penalties[1]["network"]]
            assert await unit.sources.count() == 0


async def test_more_events_than_a_row_holds_are_cut_to_the_newest(store, control):
    """As many custom events may be limited as make 400 bursts of one source: a row with them could not be read."""
    events = [{"label": f"event_{number}", "max_events": 12, "window_sec": 600} for number in range(32)]
    policy = Policy.from_document({"wolfsentry": {"version": "1", "events": events}})
    clock = [0.0]
    with Engine(policy, clock=lambda: clock[0], wall_clock=lambda: SAVED_AT + clock[0]) as before:
        for moment in range(12):
            clock[0] = float(moment)
            for event in events:
                before.decide(event["label"], "192.0.2.1")
        await EngineStateSaver(store, before, control).save()
    with Engine(policy, clock=lambda: clock[0], wall_clock=lambda: SAVED_AT + clock[0]) as after:
        assert await restore_engine_state(store, after, control) == Restored(0)
        (source,) = after.sources()
        assert len(source.events) == MAX_EVENTS
        assert min(burst.first for burst in source.events) > SAVED_AT + 2.5
