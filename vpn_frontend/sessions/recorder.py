# SPDX-License-Identifier: GPL-3.0-or-later
"""Between the sessions, which must not wait, and the journal, which may be slow: a queue that keeps the order.

The first entry after a quiet time is written at once. While it is, and for ``PAUSE`` after it, others gather and go
together: to a database a batch costs little more than an entry.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from vpn_frontend.ports import JournalEntry, Stage, VpnEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vpn_frontend.ports import CloseReason, EventSink, SessionJournal, SessionView

# Entries that wait for the journal. When it is this far behind no new session is opened: an end is always taken, so
# that the queue holds at most this many and two for each session that lives.
MAX_BEHIND = 10_000
BATCH = 512  # entries handed over at once; some milliseconds of work
PAUSE = 0.05  # seconds in which entries gather for the next batch
DEADLINE = 10.0  # seconds for one batch
ATTEMPTS = 3  # at one batch; after that a journal that does not work has lost it


class SessionRecorder:
    """Hands entries over in their order; one that fails, or a batch that fails too often, is reported and left out."""

    def __init__(self, journal: SessionJournal, events: EventSink) -> None:
        self._journal = journal
        self._events = events
        self._entries: deque[JournalEntry] = deque()
        self._seen: deque[SessionView] = deque()  # a checkpoint's, for when there is nothing else to write
        self._some, self._none, self._hurry = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._none.set()

    @property
    def behind(self) -> bool:
        return len(self._entries) >= MAX_BEHIND

    def opened(self, view: SessionView) -> None:
        self._entries.append(JournalEntry(Stage.OPENED, view))
        self._wake()

    def closed(self, view: SessionView, reason: CloseReason) -> None:
        self._entries.append(JournalEntry(Stage.CLOSED, view, reason))
        self._wake()

    def checkpoint(self, views: Sequence[SessionView]) -> None:
        """The counters so far; left out while the journal is behind, the next one makes up for it."""
        if views and not self._seen and not self._entries:
            self._seen.extend(views)
            self._wake()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._some.wait()
            await self._write(self._take())
            if not self._entries and not self._seen:
                self._some.clear()
                self._none.set()
            if len(self._entries) < BATCH:
                with suppress(TimeoutError):
                    async with asyncio.timeout(PAUSE):
                        await self._hurry.wait()

    async def drain(self) -> None:
        """Until every entry made so far is written, and without pauses from now on: the end is near."""
        self._hurry.set()
        await self._none.wait()

    def _wake(self) -> None:
        self._none.clear()
        self._some.set()

    def _take(self) -> list[JournalEntry]:
        entries, seen = self._entries, self._seen
        if entries:
            return [entries.popleft() for _ in range(min(BATCH, len(entries)))]
        return [JournalEntry(Stage.SEEN, seen.popleft()) for _ in range(min(BATCH, len(seen)))]

    async def _write(self, batch: list[JournalEntry]) -> None:
        for _ in range(ATTEMPTS):
            try:
                async with asyncio.timeout(DEADLINE):
                    left_out = await self._journal.record(batch)
            except Exception as error:  # noqa: BLE001 - whatever a journal raises, tunnels go on
                self._report(error)
            else:
                for _entry, fault in left_out:
                    self._report(fault)
                return

    def _report(self, error: Exception) -> None:
        self._events.emit(VpnEvent.BACKEND_FAILED, what="journal", error=repr(error))
