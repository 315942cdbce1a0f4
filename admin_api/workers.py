# SPDX-License-Identifier: GPL-3.0-or-later
"""The threads of the API. Control actions and what requests ask for never share one.

Requests can fill the default pool of asyncio and the queue of ``TrialWorker``. A reload, a block and the stop must not
wait for them, so they run on ``ControlWorker``.
"""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from admin_api.http.problems import ApiError, ProblemKind

if TYPE_CHECKING:
    from collections.abc import Callable

CONTROL_THREADS = 3  # a change of policy, a save of the engine's state and a new certificate do not wait for each other
MAX_TRIALS = 4  # running or waiting; each may hold a body of 4 MiB and a policy of it
TRIAL_SECONDS = 5.0  # of one trial, from when it begins to run

P = ParamSpec("P")
T = TypeVar("T")


def start_threads(pool: ThreadPoolExecutor, threads: int) -> None:
    """Start all ``threads`` of a pool, which has run nothing: it needs none from a system that gives none later.

    Raises ``RuntimeError`` if the system gives fewer.
    """
    all_run = Barrier(threads)  # without it the first would do the work of the second
    try:
        for _ in range(threads):
            pool.submit(all_run.wait)
    except RuntimeError:
        all_run.abort()
        raise


def make_default_pool() -> ThreadPoolExecutor:
    """A pool as asyncio's own, which would start its threads when they are needed. Raises ``RuntimeError``."""
    threads = min(32, (os.cpu_count() or 1) + 4)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="asyncio")
    start_threads(pool, threads)
    return pool


class ControlWorker:
    """Threads for control actions only: nothing that a request can repeat at will runs here."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(CONTROL_THREADS, thread_name_prefix="control")
        self._started = False

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` on a control thread. The first call starts them all, or raises ``RuntimeError``."""
        if not self._started:
            start_threads(self._pool, CONTROL_THREADS)
            self._started = True
        context = copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: context.run(work, *args, **kwargs))

    def close(self) -> None:
        """Drop what waits. Does not wait for what runs."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class TrialWorker:
    """One thread with a bounded queue for trials of policies, which any holder of a read-only token may ask for.

    The thread is a daemon: the process never waits for a trial when it ends.
    """

    def __init__(
        self,
        *,
        max_trials: int = MAX_TRIALS,
        seconds: float = TRIAL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_trials = max_trials
        self._seconds = seconds
        self._clock = clock
        self._taken = 0
        self._closed = False
        self._queue: SimpleQueue[tuple[Callable[[Callable[[], bool]], Any], Future[Any]] | None] = SimpleQueue()
        self._thread: Thread | None = None  # started with the first trial

    async def run(self, work: Callable[[Callable[[], bool]], T]) -> T:
        """Run ``work`` with a callable that turns true at its deadline.

        Raises ``ApiError``: 429 with Retry-After if ``MAX_TRIALS`` run or wait already, 503 if no thread starts.
        """
        if self._taken >= self._max_trials:
            detail = f"{self._max_trials} checks of policies are running or waiting; try again later"
            headers = {"Retry-After": str(max(1, round(self._seconds)))}
            raise ApiError(ProblemKind.TOO_MANY_REQUESTS, detail, headers=headers)
        if self._thread is None:
            thread = Thread(target=self._work, name="trials of policies", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                detail = "the system gives the server no thread to try a policy on; try again later"
                raise ApiError(ProblemKind.UNAVAILABLE, detail) from error
            self._thread = thread
        self._taken += 1
        future: Future[T] = Future()
        waiting = asyncio.wrap_future(future)
        # The place is free when the thread has finished, not when the caller has given up.
        waiting.add_done_callback(self._free_place)
        context = copy_context()
        self._queue.put((lambda is_late: context.run(work, is_late), future))
        return await asyncio.shield(waiting)

    def close(self) -> None:
        """End the running trial at its next look at the deadline, and the thread after it. Does not wait."""
        self._closed = True
        self._queue.put(None)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            work, future = job
            deadline = self._clock() + self._seconds
            try:
                future.set_result(work(partial(self._is_late, deadline)))
            except BaseException as error:  # noqa: BLE001 - the caller gets it
                future.set_exception(error)

    def _is_late(self, deadline: float) -> bool:
        return self._closed or self._clock() >= deadline

    def _free_place(self, waiting: asyncio.Future[Any]) -> None:
        self._taken -= 1
        if not waiting.cancelled():
            waiting.exception()  # marks it as retrieved
