# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node owes the fleet's database: ends of sessions and admissions taken back, repeated until it has answered.

Each is safe to repeat. They are kept in memory alone: after a crash the database finds them by the node's next epoch.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any

import psycopg

from vpn_frontend.sessions.fleet.port import FleetSilentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from admin_api.fleet.calls import Calls

MAX_WAITING = 200_000  # a release is about 300 bytes; a node has far fewer sessions
PAUSE = 0.25  # seconds after a call that was not answered
SETTLE = 0.4  # seconds that an admission waits for the ends of the same user's sessions


class Errands:
    """For one event loop. ``run`` is its only sender, so their order is kept."""

    def __init__(self, calls: Calls, failed: Callable[[str], None]) -> None:
        """``failed`` is told what the database has refused: that errand is dropped."""
        self._calls = calls
        self._failed = failed
        self._waiting: deque[tuple[str, tuple[Any, ...], str]] = deque()
        self._owed: dict[str, int] = {}  # by user
        self._some = asyncio.Event()
        self._sent = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """No session may be admitted: its end could not be told."""
        return len(self._waiting) >= MAX_WAITING

    def add(self, statement: str, values: tuple[Any, ...], user: str = "") -> None:
        self._waiting.append((statement, values, user))
        if user:
            self._owed[user] = self._owed.get(user, 0) + 1
        self._some.set()

    async def settle(self, user: str) -> None:
        """Wait until the errands of a user are done, or ``SETTLE`` seconds."""
        if self.is_full:
            raise FleetSilentError("the database has not heard of too many ended sessions")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE):
                await self.until_done(user)

    async def until_done(self, user: str) -> None:
        """Wait until the database has confirmed all errands of a user."""
        while user in self._owed:
            await self._sent.wait()

    async def until_empty(self) -> None:
        while self._waiting:
            await self._sent.wait()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            while not self._waiting:
                self._some.clear()
                await self._some.wait()
            statement, values, user = self._waiting[0]
            try:
                await self._calls.call(statement, values)
            except FleetSilentError:
                await asyncio.sleep(PAUSE)
                continue
            except psycopg.DatabaseError as error:
                self._failed(" ".join(str(error).split()))
            self._waiting.popleft()
            self._settle(user)

    def _settle(self, user: str) -> None:
        if user:
            self._owed[user] -= 1
            if not self._owed[user]:
                del self._owed[user]
        self._sent.set()
        self._sent = asyncio.Event()
