# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounded memories of detectors: the most recently used keys, and the recent items of each key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

MAX_KEYS = 20_000  # sources or users per detector; the least recently seen is evicted

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class RecentlyUsed(Generic[Key, Value]):
    """A mapping of at most ``max_keys``. When full, the least recently put key is evicted, and ``evicted`` is told."""

    def __init__(self, max_keys: int = MAX_KEYS, evicted: Callable[[Key], object] | None = None) -> None:
        self._max_keys = max_keys
        self._evicted = evicted
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._max_keys:
            key, _ = self._values.popitem(last=False)
            if self._evicted is not None:
                self._evicted(key)

    def forget(self, key: Key) -> None:
        self._values.pop(key, None)

    def keys(self) -> list[Key]:
        """Keys, least recently put first."""
        return list(self._values)


class RecentSets(Generic[Key, Value]):
    """Distinct items per key, each with the time it was last seen."""

    def __init__(self, max_items: int, max_keys: int = MAX_KEYS) -> None:
        self._max_items = max_items
        self._sets: RecentlyUsed[Key, OrderedDict[Value, float]] = RecentlyUsed(max_keys)

    def add(self, key: Key, item: Value, now: float, window: float) -> int:
        """Add an item. Returns the number of distinct items of ``key`` within ``window`` seconds."""
        items = self._sets.get(key) or OrderedDict()
        items[item] = now
        items.move_to_end(item)
        while items and (now - next(iter(items.values())) >= window or len(items) > self._max_items):
            items.popitem(last=False)
        self._sets.put(key, items)
        return len(items)

    def remove(self, key: Key, item: Value) -> None:
        if items := self._sets.get(key):
            items.pop(item, None)

    def forget(self, key: Key) -> None:
        self._sets.forget(key)
