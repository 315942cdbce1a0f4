# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor time of a server, from a control group if one can be made, otherwise from /proc.

A server with a process per client starts and ends processes continuously. A control group (version 2) counts living and
dead processes in microseconds. /proc counts in ticks, and dead processes only in the parent that reaped them.
"""

from __future__ import annotations

import itertools
import os
import time
from contextlib import suppress
from pathlib import Path

from lab.processes.resource_usage import cpu_seconds, process_tree

_CLOSE_TRIES, _CLOSE_REST = 40, 0.05  # times, seconds: until the last process was reaped
_NUMBERS = itertools.count()


class CpuUsage:
    """Processor time of a running program and its descendants."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._group = _make_group(process_tree(root))

    @property
    def source(self) -> str:
        return "cgroup" if self._group else "/proc"

    def seconds(self) -> float:
        if self._group is None:
            return cpu_seconds(self._root)
        words = (self._group / "cpu.stat").read_text().split()
        return int(words[words.index("usage_usec") + 1]) / 1e6

    def close(self) -> None:
        """Requires that the program has ended: a group cannot be removed while it has processes, even dead ones."""
        for _ in range(_CLOSE_TRIES if self._group else 0):
            with suppress(OSError):
                self._group.rmdir()
                self._group = None
                return
            time.sleep(_CLOSE_REST)


def _make_group(pids: list[int]) -> Path | None:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if kind != "cgroup2":
            continue
        group = Path(mount) / f"bench-{os.getpid()}-{next(_NUMBERS)}"
        try:
            group.mkdir()
            for pid in pids:
                (group / "cgroup.procs").write_text(str(pid))
        except OSError:
            return None
        return group
    return None
