# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger of accounting servers in the store: exact, and never told again, whatever the journal repeats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest

from admin_api.store import Store
from admin_api.store.accounting.ledger import StoredLedger
from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import CloseReason, JournalEntry, RemoteLogin, Stage

pytestmark = pytest.mark.asyncio

REMOTE = RemoteLogin("radius", "Alice@example.org", "s1", classes=(b"OU=staff", b"\x00\xff"), interim=90)


def opened(view):
    return JournalEntry(Stage.OPENED, view)


def closed(view, reason=CloseReason.LOGOUT):
    return JournalEntry(Stage.CLOSED, view, reason)


async def test_a_session_is_due_at_its_start_and_at_its_end(store, view):
    ledger = StoredLedger(store)
    await store.record([opened(view(remote=REMOTE))])
    [due] = await ledger.due(10)
    assert (due.id, due.name, due.classes, due.interim) == ("s1", "Alice@example.org", REMOTE.classes, 90)
    assert (due.by_radius, due.start_told, due.ended_at, due.end_reason) == (True, False, None, None)
    assert (due.address, due.ipv4, due.ipv6) == (view().address, ip_address("192.168.99.2"), None)
    assert due.started_at == view().started_at
    await ledger.mark_told(started=["s1"], ended=[])
    assert await ledger.due(10) == []
    counters = Counters(rx_packets=1, rx_bytes=2**40 + 1, tx_packets=2, tx_bytes=2**41 + 2)
    await store.record([closed(view(counters=counters, remote=REMOTE), CloseReason.KILLED)])
    [due] = await ledger.due(10)
    assert (due.start_told, due.end_reason) == (True, CloseReason.KILLED)
    assert due.ended_at is not None
    assert due.counters == counters
    await ledger.mark_told(started=[], ended=["s1"])
    assert await ledger.due(10) == []


async def test_a_repeated_batch_of_the_journal_makes_nothing_due_again(store, view):
    ledger = StoredLedger(store)
    batch = [opened(view()), closed(view())]
    await store.record(batch)
    await ledger.mark_told(started=["s1"], ended=["s1"])
    await store.record(batch)
    await store.record([closed(view())])
    assert await ledger.due(10) == []


async def test_a_session_without_radius_is_accounted_for_by_its_own_name(store, view):
    ledger = StoredLedger(store)
    await store.record([opened(view())])
    [due] = await ledger.due(10)
    assert (due.name, due.classes, due.by_radius, due.interim) == ("alice", (), False, 0)


async def test_without_a_ledger_nothing_is_noted(store, view):
    await store.record([opened(view())])
    assert await StoredLedger(store).due(10) == []


async def test_the_sessions_of_a_crashed_process_are_due_with_their_last_counters(store_url, view):
    first = await Store.open(store_url)
    StoredLedger(first)
    await first.record([opened(view()), opened(view("s2"))])
    await first.record([JournalEntry(Stage.SEEN, view(counters=Counters(rx_bytes=77)))])
    await first.close()
    second = await Store.open(store_url)
    changes = []
    ledger = StoredLedger(second)
    ledger.watch(lambda: changes.append(1))
    await second.close_orphans()
    assert changes, "the reporter is woken"
    one, two = await ledger.due(10)
    assert (one.end_reason, one.counters.rx_bytes) == (CloseReason.CRASHED, 77)
    assert (two.id, two.end_reason) == ("s2", CloseReason.CRASHED)
    await second.close()


async def test_open_sessions_whose_start_was_told_are_found_again(store, view):
    ledger = StoredLedger(store)
    await store.record([opened(view()), opened(view("s2")), opened(view("s3"))])
    await ledger.mark_told(started=["s2", "s3"], ended=[])
    await store.record([closed(view("s3"))])
    assert [one.id for one in await ledger.open_told()] == ["s2"]


async def test_old_ends_are_given_up_and_live_sessions_are_not(store, view):
    ledger = StoredLedger(store)
    await store.record([opened(view()), closed(view()), opened(view("s2"))])
    assert await ledger.drop_older_than(datetime.now(UTC) - timedelta(days=7)) == 0
    assert await ledger.drop_older_than(datetime.now(UTC) + timedelta(days=7)) == 1
    assert [due.id for due in await ledger.due(10)] == ["s2"]


async def test_a_batch_of_many_sessions_is_one_transaction(store, view):
    ledger = StoredLedger(store)
    await store.record([opened(view(f"s{number}")) for number in range(512)])
    assert len(await ledger.due(1000)) == 512
    assert [due.id for due in await ledger.due(3)] == ["s0", "s1", "s2"]
