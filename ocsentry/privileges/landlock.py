# SPDX-License-Identifier: GPL-3.0-or-later
"""Landlock (landlock(7)): which files, ports and processes this process and its threads reach from now on.

Rights that the kernel's version of Landlock does not know are left out; ``missing`` names them for the operator.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from enum import IntFlag
from typing import TYPE_CHECKING

from ocsentry.privileges import linux

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# What a container's own filter says of the calls: systemd-nspawn's by default, Docker's before version 23.
FORBIDDEN = "this container forbids the calls of Landlock"
ALLOW = (
    "allow them (systemd-nspawn: SystemCallFilter=landlock_create_ruleset landlock_add_rule landlock_restrict_self "
    "in the [Exec] section of the container's .nspawn file)"
)

_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1


class Access(IntFlag):
    """Rights on files and folders (linux/landlock.h)."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13  # version 2
    TRUNCATE = 1 << 14  # version 3
    IOCTL_DEV = 1 << 15  # version 5


class Port(IntFlag):
    """Rights on TCP ports."""

    BIND = 1 << 0  # version 4
    CONNECT = 1 << 1


class Scope(IntFlag):
    """What stays inside: no rule lifts it."""

    ABSTRACT_SOCKET = 1 << 0  # version 6
    SIGNAL = 1 << 1


READ = Access.READ_FILE | Access.READ_DIR
CHANGE = Access.WRITE_FILE | Access.TRUNCATE | Access.REMOVE_FILE
MAKE = Access.MAKE_REG | Access.MAKE_SOCK | Access.MAKE_DIR
MANAGE = READ | CHANGE | MAKE  # a folder of the server's own: files and sockets come and go
USE_DEVICE = Access.READ_FILE | Access.WRITE_FILE | Access.IOCTL_DEV
_ON_FILES = Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE | Access.IOCTL_DEV

_SINCE = {
    2: ("moving files between folders", Access.REFER),
    3: ("truncating files", Access.TRUNCATE),
    4: ("binding and connecting TCP ports", Port.BIND | Port.CONNECT),
    5: ("ioctl on devices", Access.IOCTL_DEV),
    6: ("abstract Unix sockets and signals to other processes", Scope.ABSTRACT_SOCKET | Scope.SIGNAL),
}


def version() -> int:
    """The version of Landlock that the kernel has; 0: none, or switched off.

    Raises ``PermissionError`` where a container forbids the call: what is configured is not left out then.
    """
    try:
        return linux.syscall(linux.LANDLOCK_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EOPNOTSUPP}:
            return 0
        raise


def missing(supported: int) -> list[str]:
    """What a kernel with version ``supported`` cannot restrict, in words."""
    if not supported:
        return ["files, TCP ports and signals (the kernel has no Landlock)"]
    return [what for since, (what, _) in _SINCE.items() if since > supported]


class Ruleset:
    """Everything is forbidden that ``ports`` and the rights on files handle, but for what ``allow`` grants."""

    def __init__(self, supported: int, *, ports: Port, scopes: Scope) -> None:
        self._files = _known(Access(sum(Access)), supported)
        attributes = struct.pack("=Q", self._files)
        if supported >= 4:
            attributes += struct.pack("=Q", ports)
        if supported >= 6:
            attributes += struct.pack("=Q", scopes)
        self._descriptor = linux.syscall(linux.LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)

    def allow(self, access: Access, paths: Iterable[Path]) -> None:
        """Grant ``access`` at and below each of ``paths``. Paths that this user cannot reach are passed over."""
        for path in paths:
            try:
                place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue
            except OSError as error:
                raise OSError(error.errno, f"{path}: {error.strerror}") from error
            try:
                self._grant(access, place)
            finally:
                os.close(place)

    def _grant(self, access: Access, place: int) -> None:
        wanted = access & self._files
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            wanted &= _ON_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", wanted, place))
        linux.syscall(linux.LANDLOCK_ADD_RULE, self._descriptor, _RULE_PATH_BENEATH, rule, 0)

    def enforce(self) -> None:
        """Restrict this thread and the threads it makes from now on. Requires no_new_privs."""
        linux.syscall(linux.LANDLOCK_RESTRICT_SELF, self._descriptor, 0)
        os.close(self._descriptor)


def _known(access: Access, supported: int) -> Access:
    for since, (_, rights) in _SINCE.items():
        if since > supported and isinstance(rights, Access):
            access &= ~rights
    return access
