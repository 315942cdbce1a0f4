# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node owes the fleet's database: logins, ends, admissions taken back, repeated until it has answered.

Each is safe to repeat. They are kept in memory alone: after a crash the database finds them by the node's next epoch.
They are sent in their order, but for logins, ends and admissions taken back that follow each other: the logins are sent
as one call, and each of the other kinds as another behind it, since each call waits for the database's disk, and a node
can lose thousands of sessions at once. Where many come, calls keep a distance for more to gather, unless an admission
waits for one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

from admin_api.fleet.membership.lease import lease_clock
from sentry_engine.records import dataclass
from vpn_frontend.sessions.fleet.port import FleetSilentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from admin_api.fleet.calls import Calls

MAX_WAITING = 200_000  # a release is about 300 bytes; a node has far fewer sessions
PAUSE = 0.25  # seconds after a call that was not answered
SETTLE = 0.4  # seconds that an admission waits for the ends of the same user's sessions
GATHER = 0.01  # seconds between two calls that nothing waits for
TOGETHER = 200  # errands in one call: some 50 ms of the database


@dataclass(frozen=True, slots=True)
class Errand:
    """``together``: a statement that does several of its kind and takes a list of each value; empty: there is none.

    ``since``: by ``lease_clock``; the seconds since then are one value more, the last. ``None``: there is none.
    ``once``: none like it waits; its values can be hashed.
    """

    statement: str
    values: tuple[Any, ...]
    user: str
    together: str
    since: float | None = None
    once: bool = False

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
        self._once: set[tuple[str, tuple[Any, ...]]] = set()  # statement and values of what waits once
        self._some = asyncio.Event()
        self._awaited = 0  # by so many callers
        self._hurry = asyncio.Event()  # set while that is not 0
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
        *,
        once: bool = False,
    ) -> None:
        """``once``: unless the same waits already."""
        if once:
            if (statement, values) in self._once:
                return
            self._once.add((statement, values))
        self._waiting.append(Errand(statement, values, user, together, since, once))
        if user:
            self._owed[user] = self._owed.get(user, 0) + 1
        self._some.set()

    async def settle(self, *users: str) -> None:
        """Wait until the errands of these users are done, or ``SETTLE`` seconds."""
        if self.is_full:
            raise FleetSilentError("the database has not heard of too many ended sessions")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE):
                for user in users:
                    await self.until_done(user)

    async def until_done(self, user: str) -> None:
        """Wait until the database has confirmed all errands of a user."""
        with self._hurrying():
            while user in self._owed:
                await self._sent.wait()

    async def until_empty(self) -> None:
        with self._hurrying():
            while self._waiting:
                await self._sent.wait()

    async def run(self) -> None:
        """Send until cancelled."""
        most, loop = TOGETHER, asyncio.get_running_loop()
        earliest = loop.time()
        while True:
            while not self._waiting:
                self._some.clear()
                await self._some.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(earliest):
                    await self._hurry.wait()
            sent = self._next(most)
            try:
                await self._send(sent)
                most = TOGETHER
            except FleetSilentError:
                await asyncio.sleep(PAUSE)
                continue
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one: the others are sent
                if len(sent) > 1:
                    most = 1  # the database has done none of them, and one may be at fault
                    continue
                self._failed(" ".join(str(error).split()))
            for _ in sent:
                self._forget(self._waiting.popleft())
            self._sent.set()
            self._sent = asyncio.Event()
            earliest = loop.time() + GATHER

    def _next(self, most: int) -> list[Errand]:
        """The first, and those behind it that can be sent with it."""
        first = self._waiting[0]
        if not first.together:
            return [first]
        return list(takewhile(lambda errand: errand.together, islice(self._waiting, most)))

    async def _send(self, sent: list[Errand]) -> None:
        groups: dict[str, list[Errand]] = {}
        for one in sorted(sent, key=lambda errand: errand.since is None):  # logins first: none comes behind its end
            groups.setdefault(one.together, []).append(one)
        now = lease_clock()
        for together, same in groups.items():
            if len(same) == 1:
                await self._calls.call(same[0].statement, same[0].values_at(now))
            else:
                columns = zip(*(one.values_at(now) for one in same), strict=True)
                await self._calls.call(together, [*map(list, columns)])

    @contextlib.contextmanager
    def _hurrying(self) -> Iterator[None]:
        self._awaited += 1
        self._hurry.set()
        try:
            yield
        finally:
            self._awaited -= 1
            if not self._awaited:
                self._hurry.clear()

    def _forget(self, errand: Errand) -> None:
        if errand.once:
            self._once.discard((errand.statement, errand.values))
        if errand.user:
            self._owed[errand.user] -= 1
            if not self._owed[errand.user]:
                del self._owed[errand.user]
