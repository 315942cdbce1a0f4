# SPDX-License-Identifier: GPL-3.0-or-later
"""Context of a figure: the machine, the versions of programs, and other load."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
from pathlib import Path
from typing import Any

MAX_OTHER_LOAD = 0.10  # of all processors; above it, other load distorts a figure
MAX_BUSY_SHARE = 0.10  # of the readings that may be above it
TICKS = os.sysconf("SC_CLK_TCK")  # in a second
STATISTICS = Path("/proc/stat")
_WAITING = (3, 4)  # columns of /proc/stat, proc(5): idle, iowait
_COUNTED = 8  # of its columns; guest time is included in earlier ones
VERSIONS = {"openconnect": "--version", "ocserv": "--version", "wireguard-go": "--version", "iperf3": "--version"}


def describe_machine() -> dict[str, Any]:
    described = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in described if "model name" in line), platform.machine())
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 1),
    }


def versions() -> dict[str, str]:
    """Returns the versions of the installed programs in ``VERSIONS``."""
    found = {}
    for program, option in VERSIONS.items():
        try:
            said = subprocess.run([program, option], capture_output=True, text=True, timeout=10, check=False)
        except OSError:
            continue
        if number := re.search(r"\d+(?:\.\d+)+", said.stdout + said.stderr):
            found[program] = number[0]
    return found


def busy_seconds() -> float:
    """Returns processor time of all programs since the start of the machine, stolen time included."""
    fields = STATISTICS.read_text().splitlines()[0].split()[1 : _COUNTED + 1]
    return sum(int(ticks) for column, ticks in enumerate(fields) if column not in _WAITING) / TICKS


def share(busy: float, seconds: float) -> float:
    """Returns the share of all processors, 0 to 1."""
    return busy / seconds / (os.cpu_count() or 1)


def describe_others(shares: list[float]) -> str:
    """Describes other load. ``shares``: readings between the workloads."""
    if not shares:
        return ""
    median, most = 100 * statistics.median(shares), 100 * max(shares)
    return f"Others took {median:.0f} % of the processors between the measures (median), at most {most:.0f} %."


def was_quiet(shares: list[float]) -> bool:
    """True if other load was low enough to trust the figures."""
    return sum(taken > MAX_OTHER_LOAD for taken in shares) <= MAX_BUSY_SHARE * len(shares)
