# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a change of some session, with a deadline."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class SessionChanges:
    """Tasks that wait until a condition on sessions holds. Conditions are evaluated only when ``notify`` is called."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Event, Callable[[], bool]] = {}  # one for each task, removed when it goes on

    def notify(self) -> None:
        """A session has ended, lost its channel, got a new one or answered a probe."""
        for happened, condition in self._waiting.items():
            if condition():
                happened.set()

    async def wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Return when ``condition`` holds, after ``seconds`` at the latest."""
        if condition():
            return
        happened = asyncio.Event()
        self._waiting[happened] = condition
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await happened.wait()
        finally:
            del self._waiting[happened]
