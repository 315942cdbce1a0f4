# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows as they were read a moment ago: a login asks for its user twice, a storm of them for few, and each call of the
API for its token.

Everything this process writes empties the cache with its commit. Another process that writes to the database beside it
is noticed after the cache's lifetime. What does not exist is never kept: whoever tries names would fill it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LIFETIME = 10.0  # seconds
CAPACITY = 4_096  # rows; the one read longest ago gives way
Row = TypeVar("Row")


class ReadCache(Generic[Row]):
    def __init__(self, *, lifetime: float = LIFETIME, capacity: int = CAPACITY) -> None:
        self._lifetime = lifetime
        self._capacity = capacity
        self._kept: OrderedDict[str, tuple[float, Row]] = OrderedDict()  # in the order of their ends
        self._generation = 0

    def clear(self) -> None:
        """Rows have changed. What is being read at this moment is not kept either."""
        self._generation += 1
        self._kept.clear()

    def recall(self, name: str, now: float) -> Row | None:
        """The row of exactly this name, if the cache has it."""
        kept = self._kept.get(name)
        return kept[1] if kept is not None and now < kept[0] else None

    async def find(self, name: str, now: float, read: Callable[[str], Awaitable[Row | None]]) -> Row | None:
        """The row of exactly this name, from the cache or by ``read``."""
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
