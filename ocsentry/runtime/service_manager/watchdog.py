# SPDX-License-Identifier: GPL-3.0-or-later
"""The watchdog: notices workers and an event loop that are stuck, and ends the process, so that it is started again.

Both are counted in checks, one a second, and not by a clock: a machine or a process that was halted was not stuck. The
event loop wakes every worker and looks whether it has made a turn. A thread looks whether the event loop has. If a
native call holds the interpreter, that thread cannot run either; then only systemd's own watchdog ends the process.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

from ocsentry.observability.event_catalog import LogEvent, level_of
from ocsentry.runtime.service_manager import systemd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ocsentry.observability.event_sink import LineWriter
    from ocsentry.observability.log import Log

INTERVAL = 1.0  # seconds between two checks
WORKER_CHECKS = 10  # without a turn, until a worker is stuck
LOOP_CHECKS = 20  # the same for the event loop
END_CHECKS = 5  # for the orderly stop after a worker was stuck: it may wait for that worker for ever
EXIT_CODE = 1
LOG_DEADLINE = 2.0  # seconds


class WorkerWatch:
    """Finds workers whose loop makes no turn."""

    def __init__(self, checks: int = WORKER_CHECKS) -> None:
        self._checks = checks
        self._seen: list[tuple[int, int]] = []  # turns, and for how many checks they have been as many

    def find_stuck(self, turns: Sequence[int]) -> list[int]:
        """``turns`` are those of each worker; each was woken since the last call. Returns the stuck workers."""
        if len(turns) != len(self._seen):
            self._seen = [(count, 0) for count in turns]
            return []
        self._seen = [
            (count, checks + 1 if count == before else 0)
            for count, (before, checks) in zip(turns, self._seen, strict=True)
        ]
        return [worker for worker, (_, checks) in enumerate(self._seen) if checks >= self._checks]


class LoopGuard:
    """A thread that ends the process if ``beat`` is not called for too many checks."""

    def __init__(
        self,
        log: LineWriter,
        *,
        end: Callable[[], None],
        checks: int = LOOP_CHECKS,
        interval: float = INTERVAL,
    ) -> None:
        """``end`` ends the process at once."""
        self._log = log
        self._end = end
        self._checks = checks
        self._interval = interval
        self._beats = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def beat(self) -> None:
        self._beats += 1

    def shorten(self, checks: int) -> None:
        """From now on the process ends after ``checks`` without a beat."""
        self._checks = checks

    def stop(self) -> None:
        self._done.set()

    def _run(self) -> None:
        seen, unchanged = self._beats, 0
        while not self._done.wait(self._interval):
            unchanged = unchanged + 1 if self._beats == seen else 0
            seen = self._beats
            if unchanged >= self._checks:
                self._log.write(LogEvent.LOOP_STUCK, level_of(LogEvent.LOOP_STUCK), seconds=unchanged * self._interval)
                self._end()
                return


class Watchdog:
    """Checks once a second, on the event loop."""

    def __init__(
        self,
        guard: LoopGuard,
        *,
        read_turns: Callable[[], Sequence[int]],
        report: Callable[[list[int]], None],
        interval: float = INTERVAL,
    ) -> None:
        """``report`` takes the stuck workers, once."""
        self._guard = guard
        self._read_turns = read_turns
        self._report = report
        self._interval = interval
        self._workers = WorkerWatch()

    async def run(self) -> None:
        """Beat, and notify systemd for as long as no worker is stuck."""
        pause = systemd.watchdog_interval()
        loop = asyncio.get_running_loop()
        notify_at = loop.time()
        while True:
            self._guard.beat()
            stuck = self._workers.find_stuck(self._read_turns())
            if stuck:
                self._report(stuck)
                return
            if pause is not None and loop.time() >= notify_at:
                systemd.notify_watchdog()
                notify_at = loop.time() + pause
            await asyncio.sleep(min(self._interval, pause or self._interval))


def exit_at_once(log: Log) -> None:
    """End the process without its orderly stop. The helper and the TUN device go with it.

    Waits a moment for the last lines of the log, which a reader may hold up.
    """
    closing = threading.Thread(target=log.close, daemon=True)
    closing.start()
    closing.join(LOG_DEADLINE)
    os._exit(EXIT_CODE)
