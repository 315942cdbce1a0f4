# SPDX-License-Identifier: GPL-3.0-or-later
"""Deadlines of many things by name, soonest first. What is not due costs nothing, however many there are.

Without a clock: deadlines and the present time are numbers of one clock of the caller's.
"""

from __future__ import annotations

import heapq

SPARE = 64  # entries of the heap that may be out of date, beside as many as there are deadlines


class Deadlines:
    """A heap with lazy deletion: heap entries that differ from ``_current`` are skipped, and are at most half of it."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._current: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._current)

    def set_deadline(self, name: str, deadline: float | None) -> None:
        """Set, move or remove (``None``) the deadline of ``name``."""
        if deadline is None:
            self._current.pop(name, None)
        elif self._current.get(name) != deadline:
            self._current[name] = deadline
            heapq.heappush(self._heap, (deadline, name))
        if len(self._heap) > 2 * len(self._current) + SPARE:
            self._heap = [(at, each) for each, at in self._current.items()]
            heapq.heapify(self._heap)

    def get(self, name: str) -> float | None:
        """Returns the deadline of ``name``, ``None`` if it has none."""
        return self._current.get(name)

    def items(self) -> list[tuple[str, float]]:
        """Returns names with their deadlines."""
        return list(self._current.items())

    def next_deadline(self) -> float | None:
        """Returns the soonest deadline, ``None`` if there is none."""
        while self._heap and self._current.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due_names(self, now: float) -> list[str]:
        """Returns the names whose deadline has passed. They stay until removed, so a failed removal is retried."""
        due: dict[tuple[float, str], None] = {}
        while (soonest := self.next_deadline()) is not None and soonest <= now:
            due[heapq.heappop(self._heap)] = None
        for entry in due:
            heapq.heappush(self._heap, entry)
        return [name for _, name in due]
