# SPDX-License-Identifier: GPL-3.0-or-later
"""A table that peers fill, in which one source cannot take the places of the others. Pure.

Where there are too many entries, the oldest of the source with the most of them gives way: a flood from one source
forgets its own entries. Of sources with equally many, the one that has had as many for longest. Each step takes
the same time however many sources there are, since a flood may come from as many as there are places.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

ValueT = TypeVar("ValueT")
Source = bytes  # such as of ``source_key``; empty: not known


class FairTable(Generic[ValueT]):
    """Values by key, oldest first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, tuple[ValueT, Source]] = OrderedDict()
        self._by_source: dict[Source, OrderedDict[str, None]] = {}
        self._by_count: dict[int, OrderedDict[Source, None]] = {}  # sources by the number of their entries
        self._most = 0  # the largest of those numbers

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> ValueT | None:
        entry = self._entries.get(key)
        return None if entry is None else entry[0]

    def oldest(self) -> tuple[str, ValueT] | None:
        """Key and value of the oldest entry; ``None``: there is none."""
        key = next(iter(self._entries), None)
        return None if key is None else (key, self._entries[key][0])

    def add(self, key: str, value: ValueT, source: Source) -> None:
        """Add the newest entry. One of that key is replaced."""
        self.pop(key)
        self._entries[key] = value, source
        own = self._by_source.setdefault(source, OrderedDict())
        own[key] = None
        self._recount(source, len(own) - 1, len(own))

    def pop(self, key: str) -> ValueT | None:
        """Remove an entry. Returns its value; ``None``: there is none of that key."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        value, source = entry
        own = self._by_source[source]
        del own[key]
        self._recount(source, len(own) + 1, len(own))
        if not own:
            del self._by_source[source]
        return value

    def shrink_source(self, source: Source, size: int) -> list[ValueT]:
        """Remove the oldest entries of ``source`` until it has at most ``size``. Returns the removed values."""
        own = [*self._by_source.get(source, ())]
        return [self._remove(key) for key in own[: max(0, len(own) - size)]]

    def shrink(self, size: int) -> list[ValueT]:
        """Remove entries until there are at most ``size``. Returns the removed values."""
        removed: list[ValueT] = []
        while len(self._entries) > size:
            source = next(iter(self._by_count[self._most]))
            removed.append(self._remove(next(iter(self._by_source[source]))))
        return removed

    def _recount(self, source: Source, before: int, now: int) -> None:
        """``source`` had ``before`` entries, and has one more or less."""
        if before:
            same = self._by_count[before]
            del same[source]
            if not same:
                del self._by_count[before]
        if now:
            self._by_count.setdefault(now, OrderedDict())[source] = None
        if now > self._most or self._most not in self._by_count:
            self._most = now

    def _remove(self, key: str) -> ValueT:
        value = self._entries[key][0]
        self.pop(key)
        return value
