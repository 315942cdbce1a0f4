# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses which keys have room in a set of bounded size: those of the best rank, of one rank the earlier ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from sentry_engine.exchange.standing_refusals import Rank

Key = tuple[bytes, int]  # a packed network and its length


class Selection:
    """At most ``capacity`` keys are chosen, the others wait. A change costs the same whatever their number."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._chosen: dict[Rank, dict[Key, None]] = {rank: {} for rank in Rank}
        self._waiting: dict[Rank, OrderedDict[Key, None]] = {rank: OrderedDict() for rank in Rank}

    def __contains__(self, key: object) -> bool:
        return any(key in keys for keys in self._chosen.values())

    def __iter__(self) -> Iterator[Key]:
        """The chosen ones."""
        for keys in self._chosen.values():
            yield from keys

    def __len__(self) -> int:
        return sum(map(len, self._chosen.values()))

    @property
    def left_out(self) -> int:
        """How many keys wait."""
        return sum(map(len, self._waiting.values()))

    def put(self, key: Key, rank: Rank) -> list[Key]:
        """Add a key, or change its rank. Returns the keys that were chosen or ceased to be."""
        for known in Rank:
            if key in self._chosen[known]:
                if rank > known:  # another may go before it now
                    return [*self.remove(key), *self.put(key, rank)]
                if known is not rank:
                    del self._chosen[known][key]
                    self._chosen[rank][key] = None
                return []
            self._waiting[known].pop(key, None)
        if len(self) < self._capacity:
            self._chosen[rank][key] = None
            return [key]
        for worse in reversed(Rank):
            if worse > rank and self._chosen[worse]:
                loser, _ = self._chosen[worse].popitem()
                self._waiting[worse][loser] = None
                self._chosen[rank][key] = None
                return [loser, key]
        self._waiting[rank][key] = None
        return []

    def remove(self, key: Key) -> list[Key]:
        """Remove a key. Returns the keys that were chosen or ceased to be."""
        for rank in Rank:
            self._waiting[rank].pop(key, None)
            if key in self._chosen[rank]:
                del self._chosen[rank][key]
                return [key, *self._fill()]
        return []

    def _fill(self) -> list[Key]:
        for rank in Rank:
            if self._waiting[rank]:
                winner, _ = self._waiting[rank].popitem(last=False)
                self._chosen[rank][winner] = None
                return [winner]
        return []
