# SPDX-License-Identifier: GPL-3.0-or-later
"""What a figure means nothing without: the machine, the programs on it, and what else it was doing."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
from pathlib import Path
from typing import Any

TOO_MUCH = 0.10  # of all processors; where others take that, a figure is theirs as well
TOO_OFTEN = 0.10  # of the looks; a machine has its own errands now and then
TICKS = os.sysconf("SC_CLK_TCK")  # in a second
STATISTICS = Path("/proc/stat")
_WAITING = (3, 4)  # columns of /proc/stat, proc(5): idle, and idle while a disk works
_COUNTED = 8  # of its columns; those behind are contained in earlier ones
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
    """Of the programs beside ours, as far as they are installed."""
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
    """Processor time of everything on this machine, and what its host took from it, since it started."""
    fields = STATISTICS.read_text().splitlines()[0].split()[1 : _COUNTED + 1]
    return sum(int(ticks) for column, ticks in enumerate(fields) if column not in _WAITING) / TICKS


def share(busy: float, seconds: float) -> float:
    """Of all processors, 0 to 1."""
    return busy / seconds / (os.cpu_count() or 1)


def describe_others(shares: list[float]) -> str:
    """``shares``: what others took, as seen whenever nothing was measured."""
    if not shares:
        return ""
    median, most = 100 * statistics.median(shares), 100 * max(shares)
    return f"Others took {median:.0f} % of the processors between the measures (median), at most {most:.0f} %."


def was_quiet(shares: list[float]) -> bool:
    """Whether the figures can be trusted."""
    return sum(taken > TOO_MUCH for taken in shares) <= TOO_OFTEN * len(shares)
