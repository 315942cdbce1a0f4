# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of a connection's thread: one per read, and what cancelled callers leave behind."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest
from sqlalchemy import text

from admin_api.store.connections.sqlite_connection import SqliteConnection

SQLITE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
pytestmark = [pytest.mark.asyncio, SQLITE]


@pytest.fixture
def calls(monkeypatch):
    """The names of what the threads of connections were asked to do."""
    made = []
    execute = SqliteConnection._execute

    async def note(self, fn, *args, **kwargs):
        made.append(fn.__name__)
        return await execute(self, fn, *args, **kwargs)

    monkeypatch.setattr(SqliteConnection, "_execute", note)
    return made


async def count_audit(unit):
    return len(await unit.audit.page(past=None, limit=10))


async def test_a_read_is_one_call(store, calls):
    async with store.read() as unit:
        assert await count_audit(unit) == 0
    assert calls == ["_run"]


async def test_a_read_that_asks_nothing_is_no_call(store, calls):
    async with store.read():
        pass
    assert calls == []


async def test_the_statements_of_a_read_see_one_state(store):
    async with store.read() as unit:
        assert await count_audit(unit) == 0
        async with store.write() as writer:
            await writer.audit.add("alice", "made", "x")
        assert await count_audit(unit) == 0
    async with store.read() as unit:
        assert await count_audit(unit) == 1


async def test_a_read_leaves_no_view_open(store, tmp_path):
    """A checkpoint that resets the log needs that no reader holds a view."""
    async with store.write() as unit:
        await unit.audit.add("alice", "made", "x")
    async with store.read() as unit:
        await count_audit(unit)
    beside = sqlite3.connect(tmp_path / "ocsentry.db")
    busy, _, _ = beside.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    beside.close()
    assert busy == 0


async def test_a_cancelled_write_is_rolled_back(store):
    added = asyncio.Event()

    async def write():
        async with store.write() as unit:
            await unit.audit.add("alice", "made", "x")
            added.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(write())
    await added.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with store.read() as unit:
        assert await count_audit(unit) == 0
    async with store.write() as unit:  # would wait for the lock of the cancelled one
        await unit.audit.add("alice", "made", "y")


async def test_a_caller_cancelled_within_a_statement_waits_for_its_end(store, monkeypatch):
    """The thread is still in the statement: the rollback is queued behind it, not done beside it."""
    inside, leave = threading.Event(), threading.Event()
    run = SqliteConnection._run

    def slow(self, cursor, sql, parameters, **how):
        if "slow" in sql:
            inside.set()
            assert leave.wait(30)
        run(self, cursor, sql, parameters, **how)

    monkeypatch.setattr(SqliteConnection, "_run", slow)

    async def read():
        async with store._engine.connect() as connection:
            await connection.execute(text("SELECT 1 AS slow"))

    task = asyncio.ensure_future(read())
    await asyncio.to_thread(inside.wait, 30)
    task.cancel()
    await asyncio.sleep(0)
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with store.read() as unit:
        assert await count_audit(unit) == 0


async def test_an_error_of_a_statement_is_the_databases_own(store):
    async with store._engine.connect() as connection:
        with pytest.raises(Exception, match="no such table: absent"):
            await connection.execute(text("SELECT * FROM absent"))
        assert (await connection.execute(text("SELECT 7"))).scalar() == 7
