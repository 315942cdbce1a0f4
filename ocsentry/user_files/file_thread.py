# SPDX-License-Identifier: GPL-3.0-or-later
"""One thread that reads the files of users, so that a slow disk holds up neither the event loop nor other logins.

Only logins that need these files wait for it. Callers have a deadline of their own.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_WAITING = 256  # reads that run or wait; further ones fail at once

T = TypeVar("T")


class FileThread:
    """Runs reads one after the other. The thread is a daemon: a read that hangs does not hold up the stop."""

    def __init__(self, *, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._waiting = 0
        self._closed = False
        self._queue: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._thread: Thread | None = None  # started with the first read

    async def run(self, read: Callable[[], T]) -> T:
        """Returns what ``read`` returns, or raises what it raises.

        Raises ``OSError`` if too many reads wait, or if no thread starts.
        """
        if self._waiting >= self._max_waiting or self._closed:
            raise OSError(0, f"{self._waiting} reads of user files wait already")
        if self._thread is None:
            thread = Thread(target=self._work, name="user files", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                raise OSError(0, "no thread can be started to read user files") from error
            self._thread = thread
        self._waiting += 1
        future: Future[T] = Future()
        answer = asyncio.wrap_future(future)
        # The place is free when the thread has finished, not when the caller has given up.
        answer.add_done_callback(self._free_place)
        self._queue.put((read, future))
        return await asyncio.shield(answer)

    def close(self) -> None:
        """End the thread after the read that runs. Does not wait for it."""
        self._closed = True
        self._queue.put(None)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            read, future = job
            try:
                future.set_result(read())
            except BaseException as error:  # noqa: BLE001 - the caller gets it
                future.set_exception(error)

    def _free_place(self, answer: asyncio.Future[Any]) -> None:
        self._waiting -= 1
        if not answer.cancelled():
            answer.exception()  # marks it as retrieved
