# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of a database that answers no more, and ends no connection."""

from __future__ import annotations

import asyncio

import pytest

from admin_api.fleet import calls
from admin_api.fleet.calls import CONNECTIONS, FAILURES, Calls, NotAskedError, UnknownAnswerError
from lab.services.postgresql import running_postgresql
from lab.timeouts import TIMEOUT

pytestmark = pytest.mark.asyncio


async def test_a_silent_database_holds_no_connection_for_longer_than_stated(monkeypatch):
    """Those that are held would be missing once another server has taken its place."""
    monkeypatch.setattr(calls, "PROBE_PAUSE", 0.0)
    with running_postgresql() as server:
        asked = Calls(server.url)
        await asyncio.gather(*(asked.call("SELECT pg_sleep(0.1)", (), TIMEOUT) for _ in range(CONNECTIONS)))
        monkeypatch.setattr(calls, "GIVE_UP", 1.0)
        server.suspend()
        for _ in range(CONNECTIONS):
            with pytest.raises(UnknownAnswerError):
                await asked.call("SELECT 1", (), 0.01)
        async with asyncio.timeout(TIMEOUT):
            await asyncio.gather(*asked._running, return_exceptions=True)
        monkeypatch.setattr(calls, "GIVE_UP", 2 * TIMEOUT)
        server.resume()
        assert await asked.call("SELECT 1", (), TIMEOUT) == [(1,)]
        await asked.close()


async def test_each_call_sees_what_was_committed_and_leaves_nothing_prepared(fleet_url, ask):
    """An admission counts right under no other level; a pooler gives the next call another process of the database."""
    name = ask("SELECT current_database()")[0][0]
    ask(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    asked = Calls(fleet_url, connections=1)
    for _ in range(10):  # after five times a driver prepares, if it may
        assert await asked.call("SHOW transaction_isolation", (), TIMEOUT) == [("read committed",)]
    assert await asked.call("SELECT count(*) FROM pg_prepared_statements", (), TIMEOUT) == [(0,)]
    await asked.close()


async def test_a_database_that_was_heard_again_is_asked_at_once(fleet_url, monkeypatch):
    """A node that returns asserts its sessions by several calls: each of them would wait for the next beat."""
    monkeypatch.setattr(calls, "PROBE_PAUSE", TIMEOUT)
    asked = Calls(fleet_url)
    for _ in range(FAILURES):
        asked._count_failure()
    with pytest.raises(NotAskedError):
        await asked.call("SELECT 1", (), TIMEOUT)
    asked.try_again()
    assert await asked.call("SELECT 1", (), TIMEOUT) == [(1,)]
    await asked.close()
