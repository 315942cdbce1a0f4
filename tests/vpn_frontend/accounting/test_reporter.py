# SPDX-License-Identifier: GPL-3.0-or-later
"""What servers are told, over real sockets: once each, in order, whatever server, ledger and process do."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace

import pytest
import pytest_asyncio

from tests.vpn_frontend.accounting.memory_ledger import BEGAN, MemoryLedger, make_session
from tests.vpn_frontend.radius.conftest import Clock, clock, events, start_server  # noqa: F401 - fixtures
from tests.vpn_frontend.radius.scripted_server import build_answer, silence
from vpn_frontend.accounting import reporter as reporter_module
from vpn_frontend.accounting.reporter import AccountingReporter
from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import CloseReason
from vpn_frontend.radius.servers import RadiusServers

pytestmark = pytest.mark.asyncio

START, STOP, INTERIM = 1, 2, 3
TIMEOUT = 120


def take(request):
    return [build_answer(request, 5, signed=False)]


@dataclass
class Harness:
    """A reporter with its ledger and server."""

    server: object
    reporter: AccountingReporter
    ledger: MemoryLedger
    clock: Clock
    views: dict = field(default_factory=dict)
    ended: list = field(default_factory=list)

    async def until(self, condition):
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            await asyncio.sleep(0.002)

    def told(self, kind=None):
        """(status, session id) of every request but repetitions, in the sequence of their arrival."""
        found = [(p["Acct-Status-Type"][0], p["Acct-Session-Id"][0]) for p in self.server.decoded()]
        return [one for one in found if kind in (None, one[0])]


@pytest_asyncio.fixture
async def make_harness(start_server, events, clock, monkeypatch):  # noqa: F811
    monkeypatch.setattr(reporter_module, "RETRY", 0.01)
    made = []

    async def make(*script, target=None, interim=0, refuse_without=False, ledger=None, dead_time=0.0):
        server = await start_server(*(script or (take,)))
        ledger = ledger or MemoryLedger()
        servers = RadiusServers(
            [server.target(**(target or {}))], purpose="accounting", dead_time=dead_time, events=events, clock=clock
        )
        views, ended = {}, []
        reporter = AccountingReporter(
            servers,
            ledger,
            nas_identifier="vpn1",
            interim=interim,
            refuse_without=refuse_without,
            view=views.get,
            end_session=lambda session_id, text: ended.append((session_id, text)),
            events=events,
            clock=clock,
            wall_clock=lambda: BEGAN + timedelta(seconds=60),
        )
        made.append(reporter)
        reporter.start()
        return Harness(server, reporter, ledger, clock, views, ended)

    yield make
    for reporter in made:
        await reporter.stop()


async def test_a_session_is_told_once_at_its_start_and_once_at_its_end(make_harness):
    harness = await make_harness()
    harness.ledger.put(make_session("one"))
    await harness.until(lambda: harness.ledger.sessions["one"].start_told)
    for _ in range(3):
        harness.ledger.changed()
    harness.ledger.end("one", CloseReason.LOGOUT, BEGAN + timedelta(seconds=30))
    await harness.until(lambda: not harness.ledger.sessions)
    assert harness.told() == [(START, "one"), (STOP, "one")]
    assert harness.server.decoded()[1]["Acct-Session-Time"] == [30]


async def test_a_session_that_is_over_before_it_is_told_has_both(make_harness):
    harness = await make_harness()
    harness.ledger.put(make_session("one", ended_at=BEGAN, end_reason=CloseReason.CRASHED))
    await harness.until(lambda: not harness.ledger.sessions)
    assert harness.told() == [(START, "one"), (STOP, "one")]
    assert harness.server.decoded()[1]["Acct-Terminate-Cause"] == [11]


async def test_what_no_server_has_taken_is_told_later_and_nothing_twice(make_harness, events):  # noqa: F811
    harness = await make_harness(silence, target={"timeout": 3.0, "retries": 2})
    names = [f"s{number}" for number in range(100)]
    harness.ledger.put(*(make_session(name) for name in names))
    await harness.until(lambda: events.of("radius_server_dead"))
    for name in names[:50]:
        harness.ledger.end(name, CloseReason.CONNECTION_LOST, BEGAN)
    taken = []

    def note(request):
        taken.append(request)
        return take(request)

    harness.server.script[:] = [note]
    await harness.until(lambda: all(one.start_told for one in harness.ledger.sessions.values()))
    await harness.until(lambda: len(harness.ledger.sessions) == 50)
    harness.server.requests[:] = taken
    assert sorted(harness.told(START)) == sorted((START, name) for name in names)
    assert sorted(harness.told(STOP)) == sorted((STOP, name) for name in names[:50])
    assert len(events.of("radius_server_alive")) == len(events.of("radius_server_dead"))


async def test_while_no_server_answers_one_record_is_tried_at_a_time(make_harness):
    harness = await make_harness(silence, target={"timeout": 0.1, "retries": 0})
    harness.ledger.put(*(make_session(f"s{number}") for number in range(100)))
    await harness.until(lambda: harness.reporter._failing)
    before = len(harness.server.requests)
    assert before <= reporter_module.BATCH
    await harness.until(lambda: len(harness.server.requests) > before + 3)
    assert {session_id for _, session_id in harness.told()[before:]} == {"s0"}


async def test_a_ledger_that_fails_is_asked_again_and_nothing_is_told_twice(make_harness, events):  # noqa: F811
    harness = await make_harness()
    ledger = harness.ledger
    mark, failures = ledger.mark_told, iter([ConnectionError("disk full"), ConnectionError("disk full")])

    async def mark_later(**told):
        if (failure := next(failures, None)) is not None:
            raise failure
        await mark(**told)

    ledger.mark_told = mark_later
    ledger.put(make_session("one"))
    await harness.until(lambda: ledger.sessions["one"].start_told)
    assert harness.told() == [(START, "one")]
    assert {event["what"] for event in events.of("backend_failed")} == {"accounting"}


async def test_a_session_that_no_packet_holds_does_not_block_the_others(make_harness, events):  # noqa: F811
    harness = await make_harness()
    harness.ledger.put(make_session("bad", ipv4="no address"), make_session("good"))
    await harness.until(lambda: all(one.start_told for one in harness.ledger.sessions.values()))
    assert harness.told() == [(START, "good")]
    assert len(events.of("backend_failed")) == 1


async def test_updates_have_the_counters_of_the_moment(make_harness):
    harness = await make_harness(interim=300)
    harness.ledger.put(make_session("one"), make_session("quick", interim=60))
    await harness.until(lambda: len(harness.reporter.updates) == 2)
    view = SimpleNamespace(counters=Counters(rx_bytes=11, tx_bytes=22), address=make_session().address)
    harness.views.update({"one": view, "quick": view})
    harness.reporter.send_updates(harness.clock.now + 66.1)
    await harness.until(lambda: harness.told(INTERIM) == [(INTERIM, "quick")])
    harness.reporter.send_updates(harness.clock.now + 330.1)
    await harness.until(lambda: sorted(harness.told(INTERIM)) == [(3, "one"), (3, "quick"), (3, "quick")])
    packet = harness.server.decoded()[-1]
    assert (packet["Acct-Input-Octets"], packet["Acct-Output-Octets"]) == ([11], [22])
    harness.ledger.end("quick", CloseReason.LOGOUT, BEGAN)
    await harness.until(lambda: (STOP, "quick") in harness.told())
    harness.reporter.send_updates(harness.clock.now + 10_000)
    await harness.until(lambda: len(harness.told(INTERIM)) == 4)
    assert harness.told(INTERIM)[-1] == (INTERIM, "one")


async def test_updates_of_a_session_that_outlived_the_process_go_on(make_harness):
    """Its start was told by the former process, and is not told again."""
    ledger = MemoryLedger()
    ledger.put(make_session("one", start_told=True))
    harness = await make_harness(interim=60, ledger=ledger)
    await harness.until(lambda: len(harness.reporter.updates) == 1)
    harness.views["one"] = SimpleNamespace(counters=Counters(rx_bytes=11), address=make_session().address)
    harness.reporter.send_updates(harness.clock.now + 66.1)
    await harness.until(lambda: harness.told(INTERIM) == [(INTERIM, "one")])
    assert harness.told() == [(INTERIM, "one")]


async def test_no_update_follows_a_stop(make_harness):
    harness = await make_harness(interim=60)
    harness.ledger.put(make_session("one"))
    await harness.until(lambda: len(harness.reporter.updates) == 1)
    harness.views["one"] = SimpleNamespace(counters=Counters(), address=make_session().address)
    harness.server.script[:] = [lambda request: take(request) if b"\x28\x06\0\0\0\2" in request else []]
    harness.reporter.send_updates(harness.clock.now + 100)
    await harness.until(lambda: harness.told(INTERIM))
    harness.ledger.end("one", CloseReason.LOGOUT, BEGAN)
    await harness.until(lambda: not harness.ledger.sessions)
    assert harness.reporter._update_tasks == {}


async def test_without_a_server_sessions_may_be_refused_and_untold_ones_end(make_harness):
    harness = await make_harness(silence, target={"timeout": 0.1}, refuse_without=True, dead_time=60.0)
    assert not harness.reporter.refuses
    harness.ledger.put(make_session("one"), make_session("two"))
    await harness.until(lambda: {session_id for session_id, _ in harness.ended} == {"one", "two"})
    assert harness.reporter.refuses
    assert "accounting server does not answer" in harness.ended[0][1]


async def test_by_default_no_session_ends_for_want_of_a_server(make_harness):
    harness = await make_harness(silence, target={"timeout": 0.1}, dead_time=60.0)
    harness.ledger.put(make_session("one"))
    await harness.until(lambda: harness.reporter._failing)
    assert harness.ended == []
    assert not harness.reporter.refuses


async def test_the_shutdown_tells_what_it_can_and_leaves_the_rest(make_harness, monkeypatch):
    harness = await make_harness()
    harness.ledger.put(make_session("one"))
    await harness.until(lambda: harness.ledger.sessions["one"].start_told)
    harness.ledger.end("one", CloseReason.SHUTDOWN, BEGAN)
    await harness.reporter.stop()
    assert harness.ledger.sessions == {}
    monkeypatch.setattr(reporter_module, "STOP_DEADLINE", 0.05)
    hanging = await make_harness(silence, target={"timeout": 3600.0})
    hanging.ledger.put(make_session("two", ended_at=BEGAN, end_reason=CloseReason.SHUTDOWN))
    await hanging.server.arrived.wait()
    async with asyncio.timeout(TIMEOUT):
        await hanging.reporter.stop()
    later = await make_harness(ledger=hanging.ledger)
    await later.until(lambda: not later.ledger.sessions)
    assert later.told() == [(START, "two"), (STOP, "two")]


async def test_ends_that_no_server_takes_are_given_up_after_a_week(make_harness, events):  # noqa: F811
    harness = await make_harness(silence, target={"timeout": 0.05, "retries": 0})
    old = make_session("old", ended_at=BEGAN - timedelta(days=8), end_reason=CloseReason.LOGOUT)
    harness.ledger.put(old, make_session("new", ended_at=BEGAN, end_reason=CloseReason.LOGOUT))
    harness.clock.now += 3600
    await harness.until(lambda: list(harness.ledger.sessions) == ["new"])
    assert events.of("accounting_dropped") == [{"count": 1}]
