# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node owes the fleet's database: logins, ends, admissions taken back, repeated until it has answered.

Each is safe to repeat. They are kept in memory alone: after a crash the database finds them by the node's next epoch.
One is sent after another, so that their order is kept. Ends of sessions that follow each other are sent as one: each
call waits for the database's disk, and a node can lose thousands of sessions at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

import psycopg

from admin_api.fleet.membership.lease import lease_clock
from sentry_engine.records import dataclass
from vpn_frontend.sessions.fleet.port import FleetSilentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from admin_api.fleet.calls import Calls

MAX_WAITING = 200_000  # a release is about 300 bytes; a node has far fewer sessions
PAUSE = 0.25  # seconds after a call that was not answered
SETTLE = 0.4  # seconds that an admission waits for the ends of the same user's sessions
TOGETHER = 200  # errands in one call: some 50 ms of the database


@dataclass(frozen=True, slots=True)
class Errand:
    """``together``: a statement that does several of its kind and takes a list of each value; empty: there is none.

    ``since``: by ``lease_clock``; the seconds since then are one value more, the last. ``None``: there is none.
    """

    statement: str
    values: tuple[Any, ...]
    user: str
    together: str
    since: float | None = None

    def values_at(self, now: float) -> tuple[Any, ...]:
        return self.values if self.since is None else (*self.values, max(0.0, now - self.since))


class Errands:
    """For one event loop. ``run`` is the only sender."""

    def __init__(self, calls: Calls, failed: Callable[[str], None]) -> None:
        """``failed`` is told what the database has refused: that errand is dropped."""
        self._calls = calls
        self._failed = failed
        self._waiting: deque[Errand] = deque()
        self._owed: dict[str, int] = {}  # by user
        self._some = asyncio.Event()
        self._sent = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """No session may be admitted: its end could not be told."""
        return len(self._waiting) >= MAX_WAITING

    def add(
        self,
        statement: str,
        values: tuple[Any, ...],
        user: str = "",
        together: str = "",
        since: float | None = None,
    ) -> None:
        self._waiting.append(Errand(statement, values, user, together, since))
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
        most = TOGETHER
        while True:
            while not self._waiting:
                self._some.clear()
                await self._some.wait()
            sent = self._next(most)
            try:
                await self._send(sent)
                most = TOGETHER
            except FleetSilentError:
                await asyncio.sleep(PAUSE)
                continue
            except psycopg.DatabaseError as error:
                if len(sent) > 1:
                    most = 1  # the database has done none of them, and one may be at fault
                    continue
                self._failed(" ".join(str(error).split()))
            for _ in sent:
                self._forget(self._waiting.popleft().user)
            self._sent.set()
            self._sent = asyncio.Event()

    def _next(self, most: int) -> list[Errand]:
        """The first, and those behind it that can be sent with it."""
        first = self._waiting[0]
        if not first.together:
            return [first]
        return list(takewhile(lambda errand: errand.together == first.together, islice(self._waiting, most)))

    async def _send(self, sent: list[Errand]) -> None:
        now = lease_clock()
        if len(sent) == 1:
            await self._calls.call(sent[0].statement, sent[0].values_at(now))
        else:
            columns = zip(*(one.values_at(now) for one in sent), strict=True)
            await self._calls.call(sent[0].together, [*map(list, columns)])

    def _forget(self, user: str) -> None:
        if user:
            self._owed[user] -= 1
            if not self._owed[user]:
                del self._owed[user]
