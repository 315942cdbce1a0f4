# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets the kernel's sets follow the engine, on threads of its own, and reports what fails."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from ocsentry.observability.event_catalog import LogEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from admin_api.enforcement.kernel_filter import KernelFigures
    from ocsentry.privileges.packet_filter.kernel_filter import KernelFilter
    from vpn_frontend.ports import EventSink
    from vpn_frontend.settings import Address, Network

INTERVAL = 1.0  # seconds until a new refusal is in the kernel, at most
SHARE = 10  # a round that took long is followed by a pause of this many times its duration
THREADS = 2  # a lift does not wait for the computation of a round


class FilterFollower:
    """``start`` and ``stop`` on the event loop."""

    def __init__(self, sets: KernelFilter, events: EventSink) -> None:
        self._sets = sets
        self._events = events
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="packet filter")
        self._task: asyncio.Task[None] | None = None
        self._problem: str | None = None
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

    async def lift(self, network: Network | None = None) -> None:
        await self._guarded(lambda: self._sets.lift(network))

    def drops(self, address: Address) -> bool:
        return self._sets.drops(address)

    def figures(self) -> KernelFigures:
        return self._sets.figures()

    async def check(self) -> str | None:
        """What /readyz says; ``None``: the kernel follows the engine."""
        return self._problem

    async def _run(self) -> None:
        while True:
            began = time.monotonic()
            await self._guarded(self._follow)
            self._report_room()
            await asyncio.sleep(max(INTERVAL, SHARE * (time.monotonic() - began)))

    def _follow(self) -> None:
        self._sets.read_figures()  # fails if the table is gone
        self._sets.follow()

    async def _guarded(self, work: Callable[[], None]) -> None:
        """Run ``work`` on a thread. If it fails, replace the table; the next round fills it again."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._pool, work)
        except OSError as error:
            if self._problem is None:
                self._events.emit(LogEvent.KERNEL_FILTER_FAILED, error=error.strerror or str(error))
            self._problem = f"{error.strerror or error}; the server itself refuses what the kernel should drop"
            with suppress(OSError):
                await loop.run_in_executor(self._pool, self._sets.open_again)
        else:
            if self._problem is not None:
                self._events.emit(LogEvent.KERNEL_FILTER_RESTORED)
            self._problem = None

    def _report_room(self) -> None:
        figures = self._sets.figures()
        if figures.left_out and not self._is_full:
            self._events.emit(LogEvent.KERNEL_FILTER_FULL, networks=figures.networks, left_out=figures.left_out)
        self._is_full = bool(figures.left_out)
