# SPDX-License-Identifier: GPL-3.0-or-later
"""Between the sessions, which must not wait, and the journal, which may be slow: a queue that keeps the order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vpn_frontend.ports import VpnEvent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from vpn_frontend.ports import CloseReason, EventSink, SessionJournal, SessionView

# Entries that wait for the journal. When it is this far behind no new session is opened: an end is always taken, so
# that the queue holds at most this many and two for each session that lives.
MAX_BEHIND = 10_000
DEADLINE = 10.0  # seconds for one entry
BATCH = 256  # entries handed over side by side, so that a journal may write them at once


class SessionRecorder:
    """Hands entries over in their order; one that fails or takes too long is reported and left out."""

    def __init__(self, journal: SessionJournal, events: EventSink) -> None:
        self._journal = journal
        self._events = events
        self._queue: asyncio.Queue[Callable[[], Awaitable[object]]] = asyncio.Queue()

    @property
    def behind(self) -> bool:
        return self._queue.qsize() >= MAX_BEHIND

    def opened(self, view: SessionView) -> None:
        self._queue.put_nowait(lambda: self._journal.opened(view))

    def closed(self, view: SessionView, reason: CloseReason) -> None:
        self._queue.put_nowait(lambda: self._journal.closed(view, reason))

    def checkpoint(self, views: Sequence[SessionView]) -> None:
        """The counters so far; left out while the journal is behind, the next one makes up for it."""
        if views and self._queue.empty():
            self._queue.put_nowait(lambda: self._journal.checkpoint(views))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await asyncio.gather(*map(self._write, batch))

    async def _write(self, write: Callable[[], Awaitable[object]]) -> None:
        try:
            await asyncio.wait_for(write(), DEADLINE)
        except Exception as error:  # noqa: BLE001 - whatever a journal raises, tunnels go on
            self._events.emit(VpnEvent.BACKEND_FAILED, what="journal", error=repr(error))
        finally:
            self._queue.task_done()

    async def drain(self) -> None:
        """Until every entry made so far is written."""
        await self._queue.join()
