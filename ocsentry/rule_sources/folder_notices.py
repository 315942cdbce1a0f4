# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's notifications of changed folders (inotify), awaited by the event loop: an idle watch wakes nothing.

A thread that polls them ten times a second, as libraries have it, was a quarter of what an idle server costs.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

READ_SIZE = 65_536  # bytes; a notification takes at most 272

# linux/inotify.h. Not IN_MODIFY: a database in a watched folder is written all the time. Rule files are closed.
IN_ATTRIB, IN_CLOSE_WRITE, IN_MOVED, IN_CREATE, IN_DELETE = 0x4, 0x8, 0xC0, 0x100, 0x200
IN_DELETE_SELF, IN_MOVE_SELF, IN_ONLYDIR = 0x400, 0x800, 0x0100_0000
CHANGES = IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR

_libc = ctypes.CDLL(None, use_errno=True)


class FolderNotices:
    """A watch of folders, but not of those inside them. What changed is not told: the caller compares."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """Raises ``OSError``: the kernel has no watch left for this user, or a folder is gone."""
        self._file = _check(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        try:
            for folder in folders:
                _check(_libc.inotify_add_watch(self._file, os.fsencode(folder), CHANGES))
        except BaseException:
            self.close()
            raise

    async def wait(self, seconds: float) -> bool:
        """Wait for a notification, at most ``seconds``. Returns whether there was one. One caller at a time."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[bool] = loop.create_future()
        loop.add_reader(self._file, _settle, told, True)
        timer = loop.call_later(seconds, _settle, told, False)
        try:
            return await told
        finally:
            timer.cancel()
            loop.remove_reader(self._file)

    def clear(self) -> None:
        """Forget the notifications so far. Bounded: the kernel keeps 16 384, and those of meanwhile may stay."""
        with suppress(BlockingIOError):
            while len(os.read(self._file, READ_SIZE)) > READ_SIZE // 2:
                pass

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _settle(told: asyncio.Future[bool], result: bool) -> None:  # a callback
    if not told.done():
        told.set_result(result)


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
