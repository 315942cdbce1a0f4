# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of a database that answers no more, and ends no connection."""

from __future__ import annotations

import asyncio

import pytest

from admin_api.fleet import calls
from admin_api.fleet.calls import CONNECTIONS, Calls, UnknownAnswerError
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
