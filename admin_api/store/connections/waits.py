# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the database may keep its callers waiting: requests of the API briefly, other work of the server longer.

After some requests in a row without an answer the next ones fail at once, except one each second, which tries. The
limits concern PostgreSQL alone: the file of SQLite is on this machine.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from admin_api.store.failures import StoreSilentError, is_silence

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

FAILURES = 3  # in a row, which open the breaker
PROBE_PAUSE = 1.0  # seconds between two tries from then on
TURN_WAIT = 1.0  # seconds for the turn to write
_brief: ContextVar[bool] = ContextVar("brief", default=False)


def brief() -> bool:
    """True inside of ``brief_waits``."""
    return _brief.get()


@contextmanager
def brief_waits() -> Iterator[None]:
    """What is done inside waits for the database as briefly as a request does."""
    token = _brief.set(True)
    try:
        yield
    finally:
        _brief.reset(token)


class Breaker:
    """Fails requests at once while the database does not answer."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failures = 0
        self._open_until = float("-inf")

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around one piece of work of a request. Raises ``StoreSilentError`` while the breaker is open."""
        now = self._monotonic()
        if self._failures >= FAILURES:
            if now < self._open_until:
                raise StoreSilentError("the database has not answered lately")
            self._open_until = now + PROBE_PAUSE  # this one tries; the others go on failing
        try:
            yield
        except Exception as error:
            if is_silence(error):
                self._failures += 1
                self._open_until = self._monotonic() + PROBE_PAUSE
            raise
        self._failures = 0


@asynccontextmanager
async def turn_of(lock: asyncio.Lock, *, bounded: bool) -> AsyncIterator[None]:
    """Hold ``lock``. ``bounded``: raises ``StoreSilentError`` if it is not free in ``TURN_WAIT`` seconds."""
    try:
        async with asyncio.timeout(TURN_WAIT if bounded else None):
            await lock.acquire()
    except TimeoutError:
        raise StoreSilentError("other changes wait for the database") from None
    try:
        yield
    finally:
        lock.release()
