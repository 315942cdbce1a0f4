# SPDX-License-Identifier: GPL-3.0-or-later
"""Which blocks changed at which version of the engine, so that a reader need not read all of them again."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

MAX_NOTED = 4096  # changed blocks; a reader that is further behind reads all blocks


class BlockJournal:
    """Not thread-safe: the engine's lock is held."""

    def __init__(self) -> None:
        self._notes: deque[tuple[int, str]] = deque()  # by rising version
        self._forgotten = 0  # changes up to this version may be missing

    def note(self, version: int, rule_ids: Sequence[str]) -> None:
        """Note blocks that were put or removed at ``version``, which is above those noted before."""
        if len(rule_ids) > MAX_NOTED:
            self._notes.clear()
            self._forgotten = version
            return
        self._notes.extend((version, rule_id) for rule_id in rule_ids)
        while len(self._notes) > MAX_NOTED:
            self._forgotten = self._notes.popleft()[0]

    def since(self, version: int) -> set[str] | None:
        """Returns the blocks that changed after ``version``; ``None``: too many to know."""
        if version < self._forgotten:
            return None
        changed = set()
        for noted, rule_id in reversed(self._notes):
            if noted <= version:
                break
            changed.add(rule_id)
        return changed
