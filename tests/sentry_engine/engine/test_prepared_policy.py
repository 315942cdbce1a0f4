# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan is made while the engine goes on, and is made again if it would not fit any more."""

from __future__ import annotations

from threading import Thread

import pytest

from lab.timeouts import TIMEOUT
from sentry_engine import Policy
from sentry_engine.engine import engine as engine_module
from sentry_engine.verdict import FIRST_CUSTOM_EVENT

NO = {"id": "no", "type": "blacklist", "remote_addr": "192.0.2.0/24"}
OTHER = {"id": "other", "type": "blacklist", "remote_addr": "198.51.100.0/24"}
FROM_NOW = {**NO, "schedule": [{"days": ["sun"], "from": "02:00", "to": "03:00", "zone": "UTC"}]}
SUNDAY = 1_000_000_800.0  # 02:00 on 9 September 2001


def policy(*rules, **more):
    return Policy.from_document({"wolfsentry": {"version": "1.6.3", "rules": [*rules], **more}})


@pytest.fixture
def while_compiling(monkeypatch):
    """``while_compiling(work)``: on another thread, once, before the next plan is made. It has to end by itself."""
    make = engine_module.prepare_policy

    def hold(work):
        def prepare(*arguments):
            monkeypatch.setattr(engine_module, "prepare_policy", make)
            thread = Thread(target=work)
            thread.start()
            thread.join(TIMEOUT)
            assert not thread.is_alive(), "it waits for the plan"
            return make(*arguments)

        monkeypatch.setattr(engine_module, "prepare_policy", prepare)

    return hold


@pytest.mark.parametrize("is_ready", [True, False])
def test_a_block_waits_for_no_plan(make_engine, while_compiling, is_ready):
    engine = make_engine()
    while_compiling(lambda: engine.block("203.0.113.0/24", rule_id="block:1"))
    engine.swap(engine.prepare(policy(NO)) if is_ready else policy(NO))
    assert engine.decide("connect", "203.0.113.1").rule_id == "block:1"
    assert engine.decide("connect", "192.0.2.1").rule_id == "no"
    assert (engine.version, engine.in_force().policy_version) == (3, 3)


def test_a_plan_knows_what_came_into_force_after_it_was_made(make_engine):
    engine = make_engine()
    ready = engine.prepare(policy(NO, events=[{"label": "mine", "max_rate_per_second": 1}]))
    engine.set_never_block(["192.0.2.7/32"])
    engine.swap(policy(OTHER, events=[{"label": "theirs", "max_rate_per_second": 1}]))
    engine.swap(ready)
    assert engine.decide("connect", "192.0.2.7").accepted
    assert engine.decide("connect", "192.0.2.8").rule_id == "no"
    assert engine.decide("connect", "198.51.100.1").accepted
    assert (engine.event_number("theirs"), engine.event_number("mine")) == (FIRST_CUSTOM_EVENT, FIRST_CUSTOM_EVENT + 1)


def test_a_schedule_does_not_bring_back_a_policy_that_was_replaced(make_engine, while_compiling):
    wall = [SUNDAY - 1]
    engine = make_engine([FROM_NOW], wall_clock=lambda: wall[0])
    assert engine.decide("connect", "192.0.2.1").accepted
    wall[0] = SUNDAY
    while_compiling(lambda: engine.swap(policy(OTHER)))
    assert not engine.refresh()
    assert engine.decide("connect", "192.0.2.1").accepted
    assert engine.decide("connect", "198.51.100.1").rule_id == "other"


def test_a_schedule_that_changed_since_is_applied_by_the_next_refresh(make_engine):
    wall = [SUNDAY - 1]
    engine = make_engine(wall_clock=lambda: wall[0])
    ready = engine.prepare(policy(FROM_NOW))
    wall[0] = SUNDAY
    engine.swap(ready)
    assert engine.refresh()
    assert engine.decide("connect", "192.0.2.1").rule_id == "no"
