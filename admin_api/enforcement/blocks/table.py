# SPDX-License-Identifier: GPL-3.0-or-later
"""The blocks of the running server in memory: what is in force, and what the API lists. The store follows it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class BlockEntry:
    """One block. ``expires_at`` is wall time; ``None``: no end."""

    id: str
    cidr: str  # canonical text
    reason: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None


class BlockTable:
    """Entries by id and by network, at most one of each network. The caller bounds their number (``MAX_BLOCKS``)."""

    def __init__(self) -> None:
        self._by_id: dict[str, BlockEntry] = {}
        self._id_of: dict[str, str] = {}  # by network
        self._ids: list[str] = []  # sorted: ids rise with the time of creation

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[BlockEntry]:
        return iter([*self._by_id.values()])

    def put(self, entry: BlockEntry) -> None:
        """Add an entry, or replace the one of the same id."""
        if entry.id not in self._by_id:
            insort(self._ids, entry.id)
        self._by_id[entry.id] = entry
        self._id_of[entry.cidr] = entry.id

    def remove(self, block_id: str) -> BlockEntry | None:
        entry = self._by_id.pop(block_id, None)
        if entry is not None:
            del self._id_of[entry.cidr]
            del self._ids[bisect_left(self._ids, block_id)]
        return entry

    def get(self, block_id: str) -> BlockEntry | None:
        return self._by_id.get(block_id)

    def of_network(self, cidr: str) -> BlockEntry | None:
        return self._by_id.get(self._id_of.get(cidr, ""))

    def following(self, block_id: str | None) -> Iterator[BlockEntry]:
        """Yields the entries after ``block_id`` (``None``: all) in the order of their ids."""
        start = 0 if block_id is None else bisect_right(self._ids, block_id)
        return (self._by_id[self._ids[at]] for at in range(start, len(self._ids)))

    def before(self, block_id: str | None) -> Iterator[BlockEntry]:
        """Yields the entries before ``block_id`` (``None``: all) in the falling order of their ids."""
        start = len(self._ids) if block_id is None else bisect_left(self._ids, block_id)
        return (self._by_id[self._ids[at]] for at in range(start - 1, -1, -1))
