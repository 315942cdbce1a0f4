# SPDX-License-Identifier: GPL-3.0-or-later
"""What processes cost: memory and processor time, from /proc."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_TICKS = os.sysconf("SC_CLK_TCK")


_GONE = (FileNotFoundError, ProcessLookupError)  # a process may end between any two looks at it


def tree(root: int) -> list[int]:
    """A process and all its descendants."""
    found = [root]
    for pid in found:
        for children in _tasks(pid):
            with suppress(*_GONE):
                found.extend(int(child) for child in children.read_text().split())
    return found


def _tasks(pid: int) -> list[Path]:
    try:
        return [Path(task.path, "children") for task in os.scandir(f"/proc/{pid}/task")]
    except _GONE:
        return []


def proportional_set_size(pids: Iterable[int]) -> int:
    """Bytes that the processes hold together, shared pages counted once among all who share them."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except _GONE:
            continue
        total += next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:"))
    return total


def cpu_seconds(root: int) -> float:
    """User and system time of a process, of the children it has waited for, and of its living descendants."""
    total = 0
    for pid in tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except _GONE:
            continue
        total += sum(int(fields[i]) for i in (11, 12, 13, 14))
    return total / _TICKS
