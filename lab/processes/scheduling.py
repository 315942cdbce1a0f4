# SPDX-License-Identifier: GPL-3.0-or-later
"""Real-time priority for the threads under test, so that other load of the machine does not delay them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_PRIORITY = 1  # of SCHED_RR, above every thread without one
# A thread may end between two reads of /proc. In a container without CAP_SYS_NICE, priorities stay as they are.
_IGNORED = (FileNotFoundError, ProcessLookupError, PermissionError)


def prefer_threads(pid: int, prefix: str = "") -> list[str]:
    """Gives SCHED_RR to the threads of a process whose names begin with ``prefix``; returns the names found."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(*_IGNORED):
            name = (task / "comm").read_text().strip()
            if name.startswith(prefix):
                found.append(name)
                os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(_PRIORITY))
    return found
