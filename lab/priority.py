# SPDX-License-Identifier: GPL-3.0-or-later
"""The processor first to some threads, so that what delays them is what they wait for and not who else is running."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_PRIORITY = 1  # of SCHED_RR, above every thread without one
# A thread may end between any two looks at it; and where the process may not give priorities (a container without
# CAP_SYS_NICE), its threads compete like everyone's.
_LEFT_ALONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def prefer(pid: int, threads: str = "") -> list[str]:
    """Gives the threads of a process whose names begin so a real-time priority; the names of those it found."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(*_LEFT_ALONE):
            name = (task / "comm").read_text().strip()
            if name.startswith(threads):
                found.append(name)
                os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(_PRIORITY))
    return found
