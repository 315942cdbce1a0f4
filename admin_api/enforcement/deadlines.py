# SPDX-License-Identifier: GPL-3.0-or-later
"""The deadlines of blocks, soonest first, in monotonic seconds: a jump of the wall clock ends no block early.

The engine stops matching a block exactly at its end. These deadlines tell when its row and entry can be removed.
"""

from __future__ import annotations

import heapq


class Deadlines:
    """A heap with lazy deletion: heap entries that differ from ``_current`` are skipped."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._current: dict[str, float] = {}

    def set_deadline(self, name: str, deadline: float | None) -> None:
        """Set, move or remove (``None``) the deadline of ``name``."""
        if deadline is None:
            self._current.pop(name, None)
            return
        self._current[name] = deadline
        heapq.heappush(self._heap, (deadline, name))

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
