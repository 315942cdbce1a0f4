# SPDX-License-Identifier: GPL-3.0-or-later
"""Decisions become events: all of them at low rates, some of each kind in a flood."""

from __future__ import annotations

import asyncio
import itertools
import select

import pytest

from admin_api.clock import SYSTEM_CLOCK
from ocsentry.observability import decision_events
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
        feed = DecisionEvents(core, asked, events, lambda: engine.policy.geo_lookup)
        yield engine, events, feed
    feed.close()


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


class FollowedEvents(DecisionEvents):
    """Tells when it waits for a bell that is silent, and counts its looks."""

    looks = 0

    def emit_new(self, now):
        self.looks += 1
        return super().emit_new(now)

    async def _ring(self):
        if not select.select([self._bell], [], [], 0)[0]:
            self.waits.set()
        await super()._ring()


@pytest.mark.asyncio
async def test_decisions_are_read_when_there_are_some(watched):
    engine, events, feed = watched
    feed.__class__ = FollowedEvents
    feed.waits = asyncio.Event()
    following = asyncio.create_task(feed.follow(itertools.count(0.0).__next__))  # no second is full
    addresses = [f"198.51.100.{number}" for number in range(3)]
    try:
        await feed.waits.wait()
        for number, (asks, address) in enumerate(itertools.product((None, engine.decisions), addresses), start=1):
            engine.decisions = asks  # None: the gateway asks
            await asyncio.to_thread(engine.decide, "connect" if asks is None else "auth_failure", address)
            while len(events) < number:
                feed.waits.clear()
                await feed.waits.wait()
            assert [event["address"] for event in events[number - 1 :]] == [address]
            looks = feed.looks
            await asyncio.sleep(0)
            assert feed.looks == looks, "nothing is read while nothing is decided"
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@pytest.mark.asyncio
async def test_more_than_one_look_takes_is_read_too(watched, monkeypatch):
    engine, _, feed = watched
    feed.__class__ = FollowedEvents
    feed.waits = asyncio.Event()
    monkeypatch.setattr(decision_events, "MAX_RECORDS", 3)
    engine.decisions = None
    engine.decide_many("connect", ["192.0.2.7"] * 14)
    following = asyncio.create_task(feed.follow(lambda: 0.0))
    await feed.waits.wait()
    assert feed.looks == 6, "of which the last found nothing"
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


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
    feed = DecisionEvents(core, asked, events, lambda: None)
    feed.emit_new(0.0)
    core.close()
    feed.close()
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
