# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine state survives a restart: penalties, strikes, rate windows, and countries of users."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from admin_api.enforcement.engine_state import restore_engine_state, save_engine_state
from sentry_engine import Engine, GeoipPaths, Policy, Reason

pytestmark = pytest.mark.asyncio


DATABASE = Path(__file__).parents[2] / "data" / "geoip" / "GeoLite2-City-Test.mmdb"


BRITISH, SWEDISH = "2.125.160.216", "89.160.20.112"


async def test_penalties_survive_a_restart(server, rules_folder, control):
    server.engine.penalize("198.51.100.7", 600, reason=Reason.PENALTY, rule_id="limit")
    server.engine.penalize("192.0.2.9", math.inf, reason=Reason.BLACKLISTED)
    assert len((await save_engine_state(server.store, server.engine, control)).penalties) == 2
    with Engine(Policy.load(rules_folder), core="reference") as engine:
        assert await restore_engine_state(server.store, engine, control) == 2
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
        await save_engine_state(store, before, control)
        await save_engine_state(store, before, control)
    with Engine(policy, core=core) as after:
        assert await restore_engine_state(store, after, control) == 1
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
        await save_engine_state(store, before, control)
        await save_engine_state(store, before, control)
    with Engine(policy) as after:
        await restore_engine_state(store, after, control)
        assert after.decide("auth_success", BRITISH, user="ann").reason is Reason.NEW_COUNTRY
        assert after.decide("auth_success", SWEDISH, user="ann").accepted
        assert after.decide("auth_success", BRITISH, user="ben").accepted
