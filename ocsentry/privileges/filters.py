# SPDX-License-Identifier: GPL-3.0-or-later
"""Seccomp filters: libseccomp compiles a list of system calls to a BPF program, which the kernel runs at every call.

``build`` returns the program as bytes, so that another process, or a thread of the native gateway, can load it.
"""

from __future__ import annotations

import errno
import os
import socket
from enum import Enum
from typing import TYPE_CHECKING

from ocsentry.privileges import linux, syscalls
from ocsentry.privileges.errors import PrivilegeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyseccomp import SyscallFilter

PROT_WRITE, PROT_EXEC = 2, 4
CLONE_THREAD_BITS = 0x00010000 | 0x00000100  # CLONE_THREAD, CLONE_VM
CLONE_NAMESPACES = 0x7E020000 | 0x00000080  # NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; NEWTIME
SOCKET_KIND = 0xF  # the type without SOCK_NONBLOCK and SOCK_CLOEXEC
NETLINK_ROUTE = 0
PR_SET_NAME, PR_SET_SECCOMP, PR_SET_TIMERSLACK, PR_SET_VMA = 15, 22, 29, 0x53564D41
TERMINAL_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIO(N)CLEX
TUN_IOCTLS = (0x400454D0, 0x800454D2, 0x400454D8)  # TUNSETOFFLOAD, TUNGETIFF, TUNSETVNETHDRSZ: of a queue that is open
TUNSETIFF = 0x400454CA
SIOCGIFINDEX = 0x8933
FIRST_COMMON_NUMBER, LAST_NUMBER = 424, 512  # from Linux 5.1 on, numbers are the same on every architecture


class Role(Enum):
    """The kinds of thread that have a filter of their own."""

    MAIN = "main"  # the event loop and Python's pools
    WORKER = "worker"  # the native gateway's threads; loaded on top of MAIN
    HELPER = "helper"
    SIGNER = "signer"  # the process with the private keys


_CALLS = {
    Role.MAIN: syscalls.MAIN,
    Role.WORKER: syscalls.WORKER,
    Role.HELPER: syscalls.HELPER,
    Role.SIGNER: syscalls.SIGNER,
}


def build(role: Role, mode: str) -> bytes:
    """The program of ``role``: what it does not allow fails with EPERM (``errno``) or ends the process (``kill``).

    It is for this process: signals reach no other. Raises ``PrivilegeError`` where libseccomp is missing.
    """
    try:
        import pyseccomp  # noqa: PLC0415 - it looks for the library when it is imported
    except RuntimeError as error:
        text = (
            'process.seccomp: the library libseccomp is missing (Debian: apt install libseccomp2), or set it to "off"'
        )
        raise PrivilegeError(text) from error
    try:
        program = pyseccomp.SyscallFilter(pyseccomp.KILL_PROCESS if mode == "kill" else pyseccomp.ERRNO(errno.EPERM))
        program.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
        for name in sorted(_CALLS[role]):
            _allow(program, name)
        _allow_with_conditions(program, role, os.getpid())
        _answer_newer_calls(program, role)
        return _export(program)
    except OSError as error:
        raise PrivilegeError(f"process.seccomp: the filter cannot be made: {error.strerror}") from error


def load(program: bytes) -> None:
    """Put every thread of this process under ``program``. Raises ``PrivilegeError``."""
    try:
        linux.load_filter(program)
    except OSError as error:
        raise PrivilegeError(f"process.seccomp: the kernel refuses the filter: {error.strerror or error}") from error


def _number(name: str) -> int | None:
    import pyseccomp  # noqa: PLC0415

    number: int = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name)
    return number if number >= 0 else None  # negative: of other architectures only, or unknown


def _allow(program: SyscallFilter, name: str, *conditions: object) -> None:
    import pyseccomp  # noqa: PLC0415

    number = _number(name)
    if number is not None:
        program.add_rule(pyseccomp.ALLOW, number, *conditions)


def _allow_with_conditions(program: SyscallFilter, role: Role, pid: int) -> None:
    from pyseccomp import EQ, MASKED_EQ, Arg  # noqa: PLC0415

    def allow(name: str, *conditions: object) -> None:
        _allow(program, name, *conditions)

    # Memory is writable or executable, never both, and is never made executable later.
    allow("mmap", Arg(2, MASKED_EQ, PROT_EXEC, 0))
    if role in {Role.MAIN, Role.HELPER}:
        allow("mmap", Arg(2, MASKED_EQ, PROT_WRITE, 0))
    allow("mprotect", Arg(2, MASKED_EQ, PROT_EXEC, 0))
    allow("tgkill", Arg(0, EQ, pid))  # abort()
    for option in (PR_SET_NAME, PR_SET_TIMERSLACK, PR_SET_VMA):
        allow("prctl", Arg(0, EQ, option))
    allow("prlimit64", Arg(0, EQ, 0), Arg(2, EQ, 0))  # reads a limit
    allow("getrlimit")
    if role in {Role.MAIN, Role.SIGNER}:  # threads
        allow("clone", Arg(0, MASKED_EQ, CLONE_THREAD_BITS | CLONE_NAMESPACES, CLONE_THREAD_BITS))
    if role is Role.SIGNER:
        return
    if role is Role.WORKER:
        allow("fcntl", Arg(1, EQ, 1))  # F_GETFD, F_GETFL, F_SETFL
        allow("fcntl", Arg(1, EQ, 3))
        allow("fcntl", Arg(1, EQ, 4))
        return
    for request in TERMINAL_IOCTLS:
        allow("ioctl", Arg(1, EQ, request))
    _allow_sockets(role, allow)
    if role is Role.MAIN:
        # A worker's own filter, which only takes away.
        flags = linux.SECCOMP_FILTER_FLAG_SPEC_ALLOW
        allow("seccomp", Arg(0, EQ, linux.SECCOMP_SET_MODE_FILTER), Arg(1, EQ, flags))
        for request in TUN_IOCTLS:
            allow("ioctl", Arg(1, EQ, request))
    else:
        allow("ioctl", Arg(1, EQ, TUNSETIFF))


def _allow_sockets(role: Role, allow: Callable[..., None]) -> None:
    from pyseccomp import EQ, MASKED_EQ, Arg  # noqa: PLC0415

    allow("socket", Arg(0, EQ, socket.AF_NETLINK), Arg(2, EQ, NETLINK_ROUTE))  # also getaddrinfo(3): its sorting
    allow("socketpair", Arg(0, EQ, socket.AF_UNIX))
    families = (socket.AF_INET, socket.AF_INET6, *([socket.AF_UNIX] if role is Role.MAIN else []))
    for family in families:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            allow("socket", Arg(0, EQ, family), Arg(1, MASKED_EQ, SOCKET_KIND, kind))


def _answer_newer_calls(program: SyscallFilter, role: Role) -> None:
    """Calls that are newer than this list do not exist, in both modes: the C library falls back to older ones.

    One is ``clone3``, called for every new thread: a filter cannot read its flags, which are in memory.
    """
    import pyseccomp  # noqa: PLC0415

    allowed = {_number(name) for name in _CALLS[role]}
    for number in range(FIRST_COMMON_NUMBER, LAST_NUMBER):
        if number not in allowed:
            program.add_rule(pyseccomp.ERRNO(errno.ENOSYS), number)


def _export(program: SyscallFilter) -> bytes:
    with os.fdopen(os.memfd_create("filter", os.MFD_CLOEXEC), "w+b") as file:
        program.export_bpf(file)
        file.seek(0)
        return file.read()
