# SPDX-License-Identifier: GPL-3.0-or-later
"""Decisions become events: all of them at low rates, some of each kind in a flood."""

from __future__ import annotations

import pytest

from admin_api.clock import SYSTEM_CLOCK
from ocsentry.observability.decision_events import ACCEPTED_PER_SECOND, REFUSED_PER_SECOND, DecisionEvents
from sentry_engine import Action, AdmissionRefused, Engine, Policy, Reason, Verdict
from sentry_engine.addresses import pack_address
from sentry_engine.cores.native.core import NativeCore
from sentry_engine.engine.decision_log import DecisionLog

DOCUMENT = {
    "wolfsentry": {
        "version": "1.6.3",
        "rules": [{"id": "bad", "type": "blacklist", "remote_addr": "192.0.2.0/24"}],
        "events": [{"label": "portal", "max_rate_per_second": 5}],
    }
}


class Events(list):
    def emit_at(self, at, kind, /, **fields):
        self.append({"at": at, "kind": str(kind), **fields})


@pytest.fixture
def watched():
    core, asked, events = NativeCore(), DecisionLog(), Events()
    core.watch(every=1)
    with Engine(Policy.from_document(DOCUMENT), core=core, decisions=asked) as engine:
        yield engine, events, DecisionEvents(core, asked, events, lambda: engine.policy.geo_lookup)


def test_gateway_decisions_and_logins_are_events(watched):
    engine, events, feed = watched
    engine.decisions = None  # as the gateway does: ask the core only
    engine.decide("connect", "192.0.2.7")
    feed.emit_new(0.0)
    (event,) = events
    assert (event["kind"], event["event"], event["address"]) == ("decision", "connect", "192.0.2.7")
    assert (event["verdict"], event["reason"], event["rule"]) == ("reject", "rule", "bad")


def test_a_login_is_one_event_with_its_user(watched):
    engine, events, feed = watched
    engine.decide("auth_failure", "198.51.100.1", user="alice")
    feed.emit_new(0.0)
    (event,) = events
    assert (event["event"], event["user"], event["verdict"]) == ("auth_failure", "alice", "accept")


def test_a_flood_of_refusals_is_counted_and_hides_no_acceptance(watched):
    engine, events, feed = watched
    engine.decisions = None
    engine.decide_many("connect", ["192.0.2.7"] * 500)
    engine.decide_many("connect", ["198.51.100.1"] * 100)
    feed.emit_new(0.0)
    said = [event["verdict"] for event in events]
    assert (said.count("reject"), said.count("accept")) == (REFUSED_PER_SECOND, ACCEPTED_PER_SECOND)
    engine.decide("connect", "192.0.2.7")
    feed.emit_new(1.0)
    assert events[-1]["missed"] == 500 - REFUSED_PER_SECOND


@pytest.mark.parametrize("event", ["disconnect", "portal", "connect", "auth_success"])
def test_a_decision_is_one_event_from_either_caller(watched, event):
    engine, events, feed = watched
    engine.decide(event, "192.0.2.7", user="alice")
    feed.emit_new(0.0)
    assert [(one["event"], one["verdict"]) for one in events] == [(event, "reject")]


def test_an_admission_is_one_event_with_its_user(watched):
    engine, events, feed = watched
    engine.release(engine.admit("alice", "198.51.100.1"))
    with pytest.raises(AdmissionRefused):
        engine.admit("bob", "192.0.2.7")
    feed.emit_new(0.0)
    assert [(one["event"], one["user"], one["verdict"]) for one in events] == [
        ("session_start", "alice", "accept"),
        ("session_start", "bob", "reject"),
    ]


def test_decisions_dropped_by_the_engines_log_are_counted():
    asked, events, core = DecisionLog(per_second=1), Events(), NativeCore()
    refusal = Verdict(Action.REJECT, Reason.RULE, "bad")
    for at in (1.0, 1.5, 1.6, 2.0):
        asked.add(at, "auth_failure", pack_address("192.0.2.7"), "alice", refusal, 0.0)
    DecisionEvents(core, asked, events, lambda: None).emit_new(0.0)
    core.close()
    assert [one.get("missed") for one in events] == [None, 2]


def test_a_decision_has_the_time_at_which_it_was_made(watched):
    engine, events, feed = watched
    made_at = SYSTEM_CLOCK.monotonic() - 30
    engine.decide("connect", "192.0.2.7", now=made_at)
    engine.decide("auth_failure", "198.51.100.1", user="alice", now=made_at)
    feed.emit_new(made_at + 30)
    ages = [(SYSTEM_CLOCK.wall() - event["at"]).total_seconds() for event in events]
    assert [event["event"] for event in events] == ["auth_failure", "connect"]
    assert min(ages) > 29
