# SPDX-License-Identifier: GPL-3.0-or-later
"""A bounded queue between one event loop and threads, in which those with the lowest rank come first.

When it is full, the entry with the highest rank has to leave for one with a lower rank. Entries of one rank are taken
in the order in which they came, and the last of them leaves.
"""

from __future__ import annotations

from threading import Condition
from typing import Any, Generic, TypeVar

_Entry = TypeVar("_Entry")
Rank = tuple[Any, ...]  # those of one queue can be compared


class CheckQueue(Generic[_Entry]):
    """``take`` blocks its thread; the other methods do not wait."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._entries: list[tuple[Rank, int, _Entry]] = []  # some dozens: a search is cheap
        self._count = 0
        self._closed = False

    def put(self, rank: Rank, entry: _Entry) -> None:
        with self._changed:
            self._count += 1
            self._entries.append((rank, self._count, entry))
            self._changed.notify()

    def displace(self, rank: Rank) -> _Entry | None:
        """Removes and returns the entry that comes last, if its rank is higher than ``rank``."""
        with self._changed:
            last = max(self._entries, key=_place, default=None)
            if last is None or last[0] <= rank:
                return None
            self._entries.remove(last)
            return last[2]

    def take(self) -> _Entry | None:
        """Waits for an entry, and removes and returns the first. ``None``: the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._entries or self._closed)
            if not self._entries:
                return None
            first = min(self._entries, key=_place)
            self._entries.remove(first)
            return first[2]

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _place(entry: tuple[Rank, int, object]) -> tuple[Rank, int]:
    return entry[:2]
