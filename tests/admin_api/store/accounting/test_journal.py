# SPDX-License-Identifier: GPL-3.0-or-later
"""The session journal: one record per session, whatever the order and repetition of entries."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from sqlalchemy.exc import OperationalError

from admin_api.clock import Clock
from admin_api.store import Store, UserAttributes
from admin_api.store.accounting.session_rows import COLUMNS, COUNTED, TABLE
from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import CloseReason, JournalEntry, Stage

pytestmark = pytest.mark.asyncio


def opened(view):
    return JournalEntry(Stage.OPENED, view)


def seen(view):
    return JournalEntry(Stage.SEEN, view)


def closed(view, reason=CloseReason.LOGOUT):
    return JournalEntry(Stage.CLOSED, view, reason)


async def accounts(store):
    async with store.read() as unit:
        return list(await unit.sessions.page(past=None, limit=1000))


async def record_at_once(store, *entries):
    assert await store.record(entries) == []


async def record_each(store, *entries):
    for entry in entries:
        assert await store.record([entry]) == []


@pytest.mark.parametrize("record", [record_at_once, record_each])
class TestWhicheverWayTheyCome:
    async def test_one_start_and_one_stop(self, store, view, record):
        final = view(counters=Counters(rx_bytes=2**40, tx_bytes=7, dtls_tx_bytes=5), transport="none")
        await record(store, opened(view()), opened(view(port=9)), closed(final), closed(view(), CloseReason.KILLED))
        (account,) = await accounts(store)
        assert account.end_reason == "logout"
        assert (account.rx_bytes, account.tx_bytes, account.dtls_tx_bytes) == (2**40, 7, 5)
        assert account.transport == "tls"
        assert account.ended_at.tzinfo is UTC
        assert account.started_at == view().started_at
        assert (account.address, account.user, account.groups) == (str(view().address), "alice", list(view().groups))

    async def test_stop_without_start_writes_the_whole_record(self, store, view, record):
        await record(store, closed(view(counters=Counters(rx_packets=3), transport="none"), CloseReason.FAILED))
        (account,) = await accounts(store)
        assert (account.end_reason, account.rx_packets, account.transport) == ("failed", 3, "none")

    async def test_a_session_that_went_over_dtls_keeps_its_transport(self, store, view, record):
        await record(store, opened(view()), seen(view(transport="dtls")), closed(view(transport="none")))
        assert (await accounts(store))[0].transport == "dtls"

    async def test_counters_are_updated_while_the_session_is_open(self, store, view, record):
        await store.record([opened(view())])
        await record(store, seen(view(counters=Counters(rx_bytes=5), transport="none")), seen(view("unknown")))
        (account,) = await accounts(store)
        assert (account.rx_bytes, account.ended_at, account.transport) == (5, None, "tls")
        await store.record([closed(view(counters=Counters(rx_bytes=9)))])
        await record(store, seen(view(counters=Counters(rx_bytes=5))))
        assert (await accounts(store))[0].rx_bytes == 9

    async def test_sessions_are_listed_in_the_order_of_their_starts(self, store, view, record):
        names = [f"s{number}" for number in range(5)]
        await record(store, *(opened(view(name)) for name in names), closed(view("s1")), closed(view("s3")))
        assert [account.id for account in await accounts(store)] == names[::-1]

    async def test_texts_are_stored_unchanged(self, store, view, record):
        text = 'O\'Neil "x" \\ $1 :rows ? %s ü 😀 null'
        await record(store, opened(view(user=text, groups=(text, "b"), user_agent="null", hostname="1e3")))
        (account,) = await accounts(store)
        assert (account.user, account.groups) == (text, [text, "b"])
        assert (account.user_agent, account.hostname) == ("null", "1e3")


async def test_each_value_is_in_its_column(store, view):
    """The order of a row's values is told by ``COLUMNS`` alone."""
    counters = {name: number for number, name in enumerate(COUNTED, start=11)}
    one = view(counters=Counters(**counters), ipv6=ip_address("fd89::7"), hostname="host", user_agent="agent")
    await record_at_once(store, JournalEntry(Stage.OPENED, one, resumption="text"))
    (account,) = await accounts(store)
    values = {column.name: getattr(account, column.name) for column in TABLE.c if not column.primary_key}
    assert set(values) == set(COLUMNS)
    assert values == {
        "id": one.id,
        "user": one.user,
        "groups": list(one.groups),
        "ipv4": str(one.ipv4),
        "ipv6": str(one.ipv6),
        "user_agent": "agent",
        "hostname": "host",
        "started_at": one.started_at,
        "node": "",
        "address": str(one.address),
        "port": one.port,
        "tls_version": one.tls_version,
        "cipher": one.cipher,
        "transport": "dtls",
        "seen_at": account.seen_at,
        "ended_at": None,
        "end_reason": None,
        "resumption": "text",
        **counters,
    }


async def test_writing_it_again_changes_nothing(store, view):
    entries = [opened(view("a")), closed(view("a", counters=Counters(rx_bytes=4))), opened(view("b"))]
    for _ in range(2):
        assert await store.record(entries) == []
    assert [(account.id, account.rx_bytes) for account in await accounts(store)] == [("b", 100), ("a", 4)]


async def test_orphans_end_when_last_written(store_url, view):
    moments = iter(datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=n) for n in range(100))
    first = await Store.open(store_url, clock=Clock(wall=lambda: next(moments)))
    await first.record([opened(view("a")), opened(view("b"))])
    await first.record([closed(view("b"))])
    await first.close()
    second = await Store.open(store_url)
    assert await second.close_orphans() == 1
    assert await second.close_orphans() == 0
    b, a = await accounts(second)
    assert (a.end_reason, a.ended_at) == ("crashed", a.seen_at)
    assert b.end_reason == "logout"
    await second.close()


async def test_a_batch_is_one_transaction(store, view, monkeypatch):
    writes = 0
    write = store.write

    def counted():
        nonlocal writes
        writes += 1
        return write()

    monkeypatch.setattr(store, "write", counted)
    assert await store.record([opened(view(f"s{n}")) for n in range(600)]) == []
    assert len(await accounts(store)) == 600
    assert writes == 1
    assert await store.record([]) == []
    assert writes == 1


@pytest.mark.parametrize("bad", [{"user": object()}, {"user": None}, {"hostname": float("nan")}])
async def test_a_bad_entry_does_not_affect_others(store, view, bad):
    entries = [opened(view(f"s{n}")) for n in range(7)]
    entries[4] = opened(replace(view("bad"), **bad))
    ((entry, error),) = await store.record(entries)
    assert entry is entries[4]
    assert isinstance(error, Exception)
    assert {account.id for account in await accounts(store)} == {f"s{n}" for n in range(7)} - {"s4"}


async def test_a_failing_database_blames_no_entry(store, view, monkeypatch):
    calls = 0

    def broken():
        nonlocal calls
        calls += 1
        raise OperationalError("COMMIT", {}, Exception("disk I/O error"))

    monkeypatch.setattr(store, "write", broken)
    with pytest.raises(OperationalError):
        await store.record([opened(view(f"s{n}")) for n in range(7)])
    assert calls == 1


@pytest.mark.parametrize(
    ("user", "address", "known"),
    [
        ("alice", "198.51.100.7", True),
        ("ALICE", "198.51.100.7", True),
        ("alice", "198.51.100.8", False),
        ("alice", "2001:db8::ffff", True),
        ("alice", "2001:db8:0:1::1", False),
        ("bob", "198.51.100.7", False),
        ("nobody", "198.51.100.7", False),
    ],
)
async def test_the_sources_of_a_user_s_sessions(store, view, user, address, known):
    async with store.write() as unit:
        for name in ("alice", "bob"):
            await unit.users.add(name, "$argon2id$x", UserAttributes())
    await record_at_once(store, opened(view("s1")), opened(view("s2", address="2001:db8::1")))
    await record_at_once(store, opened(view("s3", user="bob", address="203.0.113.1")))
    assert await store.has_logged_in(user, ip_address(address)) is known


async def test_only_the_latest_sessions_of_a_user_count(store, view, monkeypatch):
    monkeypatch.setattr("admin_api.store.accounting.sessions.MAX_LATEST", 2)
    for number in range(4):
        began = view().started_at + timedelta(minutes=number)
        await record_at_once(store, opened(view(f"s{number}", address=f"203.0.113.{number}", started_at=began)))
    found = [await store.has_logged_in("alice", ip_address(f"203.0.113.{number}")) for number in range(4)]
    assert found == [False, False, True, True]
