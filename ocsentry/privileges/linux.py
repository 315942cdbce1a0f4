# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that Python has no function for: prctl, capset, seccomp and Landlock through syscall(2).

Every function raises ``OSError`` where the kernel refuses.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from pathlib import Path

PR_SET_DUMPABLE, PR_GET_DUMPABLE = 4, 3  # linux/prctl.h, as all of these
PR_CAPBSET_READ, PR_CAPBSET_DROP = 23, 24
PR_SET_KEEPCAPS = 8
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4

SECCOMP_SET_MODE_FILTER, SECCOMP_GET_ACTION_AVAIL = 1, 2  # linux/seccomp.h
SECCOMP_RET_KILL_PROCESS = 0x80000000
SECCOMP_FILTER_FLAG_TSYNC = 1  # every thread of the process, or none
SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4  # no speculation barriers: only untrusted code needs them, and they slow each call

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_CAPSET = {"x86_64": 126, "aarch64": 91}
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446  # the same on every architecture

_CLONE_NEWNET = 0x40000000  # linux/sched.h

_CAPABILITY_VERSION_3 = 0x20080522
_SOCK_FILTER_SIZE = 8  # bytes of one BPF instruction

_libc = ctypes.CDLL(None, use_errno=True)


class _SockFprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def syscall(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | ctypes.Structure | None) -> int:
    """Returns what the system call returns. Integers are passed as 64 bits, everything else as a pointer."""
    widened = [_argument(one) for one in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *widened)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _argument(value: object) -> object:
    if isinstance(value, int):
        return ctypes.c_long(value)
    return ctypes.byref(value) if isinstance(value, ctypes.Structure) else value


def prctl(option: int, *arguments: int) -> int:
    """prctl(2), with the unused arguments zero, as the newer options require."""
    padded = [ctypes.c_ulong(one) for one in (*arguments, 0, 0, 0, 0)[:4]]
    result: int = _libc.prctl(ctypes.c_int(option), *padded)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def set_capabilities(numbers: frozenset[int]) -> None:
    """Make ``numbers`` the permitted and effective set of this thread, and the inheritable set empty."""
    mask = sum(1 << number for number in numbers)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    data = struct.pack("=6I", low, low, 0, high, high, 0)
    syscall(_number(_CAPSET), header, data)


def load_filter(program: bytes, *, all_threads: bool = True) -> None:
    """Put every thread of the process, or this one, under ``program`` (``struct sock_filter[]``).

    Requires no_new_privs.
    """
    fprog = _SockFprog(len(program) // _SOCK_FILTER_SIZE, program)
    flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW | (SECCOMP_FILTER_FLAG_TSYNC if all_threads else 0)
    thread = syscall(_number(_SECCOMP), SECCOMP_SET_MODE_FILTER, flags, fprog)
    if thread:
        raise OSError(f"thread {thread} cannot be put under the filter")


def has_filters() -> bool:
    """True if the kernel has seccomp filters that can end a process (Linux 4.14)."""
    try:
        syscall(_number(_SECCOMP), SECCOMP_GET_ACTION_AVAIL, 0, struct.pack("=I", SECCOMP_RET_KILL_PROCESS))
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}:
            return False
        raise
    return True


def last_capability() -> int:
    """The highest capability number of this kernel."""
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def _number(table: dict[str, int]) -> int:
    machine = os.uname().machine
    try:
        return table[machine]
    except KeyError:
        raise OSError(f"the numbers of system calls on {machine} are not known") from None


def enter_network_namespace(descriptor: int) -> None:
    """setns(2) of the calling thread, which Python has from 3.12 on."""
    if _libc.setns(descriptor, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
