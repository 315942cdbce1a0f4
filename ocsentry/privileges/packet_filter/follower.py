# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets the kernel's sets follow the engine, on a thread of its own, and reports what fails or falls behind.

Callers wait for the kernel to forget, but not long, and hold no lock meanwhile. Those who wait for the same round share
one future: however many there are, one round runs and one waits.
"""

from __future__ import annotations

import asyncio
import errno
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from ocsentry.observability.event_catalog import LogEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from admin_api.enforcement.kernel_filter import KernelFigures
    from ocsentry.privileges.packet_filter.kernel_filter import KernelFilter
    from vpn_frontend.ports import EventSink
    from vpn_frontend.settings import Address

INTERVAL = 1.0  # seconds until a new refusal is in the kernel, at most
SHARE = 10  # a round that took long is followed by a pause of this many times its duration
LIFT_WAIT = 2.0  # seconds that a caller waits for the kernel to forget
BEHIND = "a change did not reach the kernel in time; it may still drop sources that are refused no longer"
IDLE = "the server itself refuses what the kernel should drop"

T = TypeVar("T")


class FilterFollower:
    """All methods on the event loop."""

    def __init__(self, sets: KernelFilter, events: EventSink, *, lift_wait: float = LIFT_WAIT) -> None:
        self._sets = sets
        self._events = events
        self._lift_wait = lift_wait
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="packet filter")
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._next_round: asyncio.Future[None] | None = None  # of the callers that wait
        self._problem: str | None = None
        self._is_behind = False
        self._is_full = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="packet filter")

    async def stop(self) -> None:
        """The table goes with the helper."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def lift(self) -> None:
        if self._task is None:
            return  # before the start nothing is in the kernel
        if self._next_round is None:
            self._next_round = asyncio.get_running_loop().create_future()
        self._wake.set()
        try:
            async with asyncio.timeout(self._lift_wait):
                await asyncio.shield(self._next_round)
        except TimeoutError:
            self._report_behind()

    def drops(self, address: Address) -> bool:
        return self._sets.drops(address)

    def figures(self) -> KernelFigures:
        return self._sets.figures()

    async def check(self) -> str | None:
        """What /readyz says; ``None``: the kernel follows the engine."""
        if self._problem is None:
            return BEHIND if self._is_behind else None
        return f"{self._problem}; {BEHIND if self._is_behind else IDLE}"

    async def _run(self) -> None:
        while True:
            began = time.monotonic()
            await self._lift_waiting()
            await self._guarded(self._sets.read_figures)  # fails if the table is gone
            while await self._guarded(self._sets.add_some):
                if self._next_round is not None:
                    await self._lift_waiting()
            self._report_room()
            if self._next_round is None:
                self._wake.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(INTERVAL, SHARE * (time.monotonic() - began))):
                        await self._wake.wait()

    async def _lift_waiting(self) -> None:
        """One round of removals, for the callers that wait now."""
        waiting, self._next_round = self._next_round, None
        await self._guarded(self._sets.remove_lifted)
        if waiting is not None:
            waiting.set_result(None)

    async def _guarded(self, work: Callable[[], T]) -> T | None:
        """Run ``work`` on the thread. If it fails, replace the table; the next round fills it again."""
        loop = asyncio.get_running_loop()
        try:
            result = await loop.run_in_executor(self._pool, work)
        except Exception as error:  # noqa: BLE001 - whatever it is: the sets may hold what was lifted
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
            if self._problem is None:
                self._events.emit(LogEvent.KERNEL_FILTER_FAILED, error=said)
            self._problem = said
            try:
                await loop.run_in_executor(self._pool, self._sets.open_again)
            except Exception as failure:  # noqa: BLE001 - as above
                if getattr(failure, "errno", None) != errno.EPIPE:  # a helper that is gone took the table with it
                    self._report_behind()
            else:
                self._is_behind = False
            return None
        if self._problem is not None or self._is_behind:
            self._events.emit(LogEvent.KERNEL_FILTER_RESTORED)
        self._problem, self._is_behind = None, False
        return result

    def _report_behind(self) -> None:
        if not self._is_behind:
            self._events.emit(LogEvent.KERNEL_FILTER_BEHIND, seconds=self._lift_wait)
        self._is_behind = True

    def _report_room(self) -> None:
        figures = self._sets.figures()
        if figures.left_out and not self._is_full:
            self._events.emit(LogEvent.KERNEL_FILTER_FULL, networks=figures.networks, left_out=figures.left_out)
        self._is_full = bool(figures.left_out)
