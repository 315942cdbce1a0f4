# SPDX-License-Identifier: GPL-3.0-or-later
"""A cache of rows read recently: a login reads its user twice, and each API request reads its token.

A commit of this process clears the cache. A change by another process is seen after the cache's lifetime. Missing rows
are never cached: names guessed by clients would fill the cache.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LIFETIME = 5.0  # seconds
CAPACITY = 4_096  # rows; the one read longest ago is evicted
Row = TypeVar("Row")


class ReadCache(Generic[Row]):
    """Rows by name, for at most ``lifetime`` seconds and at most ``capacity`` rows."""

    def __init__(self, *, lifetime: float = LIFETIME, capacity: int = CAPACITY) -> None:
        self._lifetime = lifetime
        self._capacity = capacity
        self._kept: OrderedDict[str, tuple[float, Row]] = OrderedDict()  # in order of expiry
        self._generation = 0

    def clear(self) -> None:
        """Drop all rows. A read that is in progress is not cached either."""
        self._generation += 1
        self._kept.clear()

    def recall(self, name: str, now: float) -> Row | None:
        """Returns the cached row of exactly this name."""
        kept = self._kept.get(name)
        return kept[1] if kept is not None and now < kept[0] else None

    async def find(self, name: str, now: float, read: Callable[[str], Awaitable[Row | None]]) -> Row | None:
        """Returns the row of exactly this name, from the cache or from ``read``."""
        kept = self.recall(name, now)
        if kept is not None:
            return kept
        generation = self._generation
        row = await read(name)
        if row is not None and generation == self._generation:
            self._kept[name] = (now + self._lifetime, row)
            self._kept.move_to_end(name)
            if len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return row
