# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory and processor time of processes, from /proc."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_TICKS = os.sysconf("SC_CLK_TCK")
_GONE = (FileNotFoundError, ProcessLookupError)  # a process may end between two reads


def process_tree(root: int) -> list[int]:
    """Returns a process and all its descendants."""
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
    """Returns the bytes that the processes hold together; a shared page counts once (PSS)."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except _GONE:
            continue
        total += next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:"))
    return total


def cpu_seconds(root: int) -> float:
    """Returns user and system time of a process, its reaped children and its living descendants."""
    total = 0
    for pid in process_tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except _GONE:
            continue
        total += sum(int(fields[i]) for i in (11, 12, 13, 14))
    return total / _TICKS
