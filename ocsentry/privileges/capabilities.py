# SPDX-License-Identifier: GPL-3.0-or-later
"""Capability sets (capabilities(7)) of a process: reading them, and giving up all but a few."""

from __future__ import annotations

import errno
from pathlib import Path

from ocsentry.privileges import linux

CAP_DAC_READ_SEARCH = 2  # linux/capability.h
CAP_NET_BIND_SERVICE = 10
CAP_NET_ADMIN = 12

SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")  # as /proc/PID/status names them
STATUS = Path("/proc/thread-self/status")  # of the calling thread
NONE: frozenset[int] = frozenset()


def drop_bounding_set(kept: frozenset[int] = NONE) -> bool:
    """Empty the bounding set but for ``kept``. Returns False where CAP_SETPCAP is missing.

    The set then bounds nothing: with no_new_privs no program gains a capability at exec.
    """
    for number in range(_last() + 1):
        try:
            if number not in kept and linux.prctl(linux.PR_CAPBSET_READ, number):
                linux.prctl(linux.PR_CAPBSET_DROP, number)
        except OSError as error:
            if error.errno == errno.EPERM:
                return False
            if error.errno == errno.EINVAL:
                break  # the kernel has no capability of this number
            raise
    return True


def keep_only(kept: frozenset[int] = NONE) -> None:
    """Leave this thread ``kept``, as far as it has them, as permitted and effective; ambient and inheritable: none."""
    linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL)
    has = read_sets(STATUS)
    if any(has[name] for name in ("CapInh", "CapPrm", "CapEff")):
        linux.set_capabilities(kept & permitted())


def permitted() -> frozenset[int]:
    """The capabilities that this thread may use."""
    mask = read_sets(STATUS)["CapPrm"]
    return frozenset(number for number in range(64) if mask >> number & 1)


def read_sets(status: Path) -> dict[str, int]:
    """The five sets of one /proc/PID/status file, as bit masks."""
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return {name: int(lines[name], 16) for name in SETS}


def _last() -> int:
    try:
        return linux.last_capability()
    except OSError:
        return 63  # /proc/sys is hidden (ProcSubset=pid): prctl answers EINVAL beyond the last one
