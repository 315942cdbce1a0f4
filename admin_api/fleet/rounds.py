# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that a node does again and again, beside all else."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Rounds(ABC):
    """``start`` works from then on, ``stop`` ends that. A round that fails is reported, and the next one comes."""

    def __init__(self, name: str, report: Callable[[str], None]) -> None:
        """``name``: of the task. ``report`` is told why a round has failed."""
        self._name, self._report = name, report
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @abstractmethod
    async def work(self) -> object:
        """One round. Raises any failure of the database."""

    @abstractmethod
    def pause(self, took: float) -> float:
        """Seconds until the next round, behind one that ``took`` so many; 0: before the first."""

    async def _run(self) -> None:
        pause = self.pause(0.0)
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            try:
                await self.work()
            except Exception as error:  # noqa: BLE001 - any failure: the next round does it
                self._report(str(error))
            pause = self.pause(time.monotonic() - began)
