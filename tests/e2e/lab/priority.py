# SPDX-License-Identifier: GPL-3.0-or-later
"""The processor first to some threads, so that what delays them is what they wait for and not who else is running."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_PRIORITY = 1  # of SCHED_RR, above every thread without one


def prefer(pid: int, threads: str = "") -> list[str]:
    """Gives the threads of a process whose names begin so a real-time priority; the names of those it found.

    Where the process may not (a container without CAP_SYS_NICE) they compete like everyone.
    """
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        if name.startswith(threads):
            with suppress(PermissionError):
                os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(_PRIORITY))
            found.append(name)
    return found
