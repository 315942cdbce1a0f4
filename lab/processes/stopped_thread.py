# SPDX-License-Identifier: GPL-3.0-or-later
"""Halts one thread of another process by ptrace(2), while its other threads go on. Needs root."""

from __future__ import annotations

import ctypes
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17  # PTRACE_*
_WALL = 0x40000000  # __WALL: threads too
_EPOLL_WAIT = {"x86_64": {"232", "281"}, "aarch64": {"22"}}  # epoll_wait, epoll_pwait
_PAUSE = 0.01  # seconds
_libc = ctypes.CDLL(None, use_errno=True)


def thread_of(pid: int, name: str) -> int:
    """The number of the thread of ``pid`` that is called ``name``."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return next(int(task.name) for task in tasks if (task / "comm").read_text().strip() == name)


@contextmanager
def stopped_thread(process: int, thread: int) -> Iterator[None]:
    """Halts ``thread`` of ``process`` in the block. A process that ended meanwhile can be waited for after it.

    The main thread is halted where it waits for events.
    """
    _halt(thread)
    while process == thread and not _waits_for_events(thread):  # elsewhere it may hold the interpreter
        _ptrace(_DETACH, thread)
        time.sleep(_PAUSE)
        _halt(thread)
    try:
        yield
    finally:
        try:
            _ptrace(_DETACH, thread)
        except ProcessLookupError:
            if thread != process:  # a process is not gone before its traced threads were waited for
                os.waitpid(thread, _WALL)


def _halt(thread: int) -> None:
    _ptrace(_SEIZE, thread)
    _ptrace(_INTERRUPT, thread)
    os.waitpid(thread, _WALL)


def _waits_for_events(thread: int) -> bool:
    return Path(f"/proc/{thread}/syscall").read_text().partition(" ")[0] in _EPOLL_WAIT[os.uname().machine]


def _ptrace(request: int, thread: int) -> None:
    if _libc.ptrace(ctypes.c_long(request), ctypes.c_long(thread), None, None):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
