# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives up every privilege, once and for good.

    groups and user ── bounding set ── capabilities ── no_new_privs, no core, not dumpable ── Landlock ── seccomp

Landlock and capabilities belong to threads, and a thread inherits them from the one that makes it. So this runs while
the process has one thread. The result is read back from the kernel; any difference stops the start.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.privileges import capabilities, filters, landlock, linux
from ocsentry.privileges.errors import PrivilegeError
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from ocsentry.privileges.identity import Identity
    from ocsentry.privileges.reach import Reach

NO_FILTERS = "system calls (the kernel has no seccomp filters)"
STATUS, STATUS_SIZE = "/proc/thread-self/status", 16_384
ALL_SCOPES = landlock.Scope.ABSTRACT_SOCKET | landlock.Scope.SIGNAL


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What a process is to be left with."""

    identity: Identity | None  # None: the user that it is
    program: bytes | None  # the seccomp filter; None: seccomp = "off"
    reach: Reach | None  # the files; None: landlock = false
    capabilities: frozenset[int] = capabilities.NONE
    ports: landlock.Port = landlock.Port.BIND  # TCP: what is forbidden altogether
    scopes: landlock.Scope = ALL_SCOPES


@dataclass(frozen=True, slots=True)
class Dropped:
    """What ``drop`` did. ``missing`` lists restrictions that the kernel, or the rights at the start, do not allow."""

    user: int
    seccomp: bool
    landlock: int  # version; 0: not in force
    missing: tuple[str, ...]


def drop(wanted: Restrictions) -> Dropped:
    """Apply ``wanted`` to this process. Raises ``PrivilegeError``; the process must end then."""
    _require_one_thread()
    status = os.open(STATUS, os.O_RDONLY | os.O_CLOEXEC)  # before files are out of reach
    try:
        return _drop(wanted, status)
    finally:
        os.close(status)


def _drop(wanted: Restrictions, status: int) -> Dropped:
    missing: list[str] = []
    try:
        if not capabilities.drop_bounding_set(wanted.capabilities):
            missing.append("the capability bounding set (the process was started without CAP_SETPCAP)")
        if wanted.identity is not None:
            linux.prctl(linux.PR_SET_KEEPCAPS, 1 if wanted.capabilities else 0)
            wanted.identity.assume()
        capabilities.keep_only(wanted.capabilities)
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        if linux.prctl(linux.PR_GET_DUMPABLE):
            raise PrivilegeError("process: the process stays dumpable")
    except OSError as error:
        raise PrivilegeError(f"process: privileges cannot be dropped: {error.strerror or error}") from error
    version = 0
    if wanted.reach is not None:
        version = _restrict_files(wanted, wanted.reach)
        missing += landlock.missing(version)
    filtered = wanted.program is not None and linux.has_filters()
    if wanted.program is not None and filtered:
        filters.load(wanted.program)
    elif wanted.program is not None:
        missing.append(NO_FILTERS)
    _verify(wanted, status, filtered=filtered)
    return Dropped(os.geteuid(), filtered, version, tuple(missing))


def _restrict_files(wanted: Restrictions, reach: Reach) -> int:
    """Returns the version of Landlock that is in force; 0 where the kernel has none."""
    try:
        version = landlock.version()
    except PermissionError as error:
        text = f"{landlock.FORBIDDEN}: {landlock.ALLOW}, or set process.landlock = false"
        raise PrivilegeError(f"process.landlock: {text}") from error
    try:
        if version:
            rules = landlock.Ruleset(version, ports=wanted.ports, scopes=wanted.scopes)
            rules.allow(landlock.READ, reach.read)
            rules.allow(landlock.MANAGE, reach.manage)
            rules.allow(landlock.USE_DEVICE, reach.devices)
            rules.enforce()
    except OSError as error:
        raise PrivilegeError(f"process.landlock: the rules cannot be applied: {error.strerror or error}") from error
    return version


def _require_one_thread() -> None:
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise PrivilegeError(f"process: {threads} threads run before the privileges are dropped")


def _verify(wanted: Restrictions, status: int, *, filtered: bool) -> None:
    """Compare what was asked for with what the kernel says of this thread in ``status``, when it is read."""
    text = os.read(status, STATUS_SIZE).decode(errors="replace")
    found = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    mask = sum(1 << number for number in wanted.capabilities)
    problems = [f"{name} is {found[name]}" for name in ("CapPrm", "CapEff") if int(found[name], 16) & ~mask]
    problems += [f"{name} is {found[name]}" for name in ("CapInh", "CapAmb") if int(found[name], 16)]
    if found["NoNewPrivs"] != "1":
        problems.append("no_new_privs is not set")
    if filtered and found["Seccomp"] != "2":
        problems.append("no seccomp filter is in force")
    if problems:
        raise PrivilegeError("process: privileges are left after the drop: " + ", ".join(problems))
