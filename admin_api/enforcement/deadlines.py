# SPDX-License-Identifier: GPL-3.0-or-later
"""The deadlines of blocks, soonest first.

The engine itself stops matching a block at its end to the fraction of a second; this says when rows and entries that no
longer matter can be taken away. Deadlines are the engine's time, so a jump of the wall clock ends nothing early.
"""

from __future__ import annotations

import heapq


class Deadlines:
    """A heap with lazy deletion: ``_current`` says what counts, entries that differ from it are passed over."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._current: dict[str, float] = {}

    def set_deadline(self, name: str, deadline: float | None) -> None:
        """``None``: it has none."""
        if deadline is None:
            self._current.pop(name, None)
            return
        self._current[name] = deadline
        heapq.heappush(self._heap, (deadline, name))

    def next_deadline(self) -> float | None:
        while self._heap and self._current.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due_names(self, now: float) -> list[str]:
        """What is over. It stays until it is set to ``None``, so that a removal that fails is tried again."""
        soonest = self.next_deadline()
        if soonest is None or soonest > now:
            return []
        return [name for name, deadline in self._current.items() if deadline <= now]
