# SPDX-License-Identifier: GPL-3.0-or-later
"""Ordered queue between sessions, which must not wait, and the journal, which may be slow.

The first entry after a quiet time is written at once. Entries made meanwhile, and for ``PAUSE`` after it, are one
batch: to a database a batch costs little more than an entry.
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
    from vpn_frontend.sessions.persistence.resumption import ResumptionDraft

# Entries that wait for the journal. When it is this far behind, no new session is opened. A closed session is always
# accepted, so the queue holds at most this many entries and two for each live session.
MAX_BEHIND = 10_000
BATCH = 512  # entries; some milliseconds of work
PAUSE = 0.05  # seconds in which entries gather for the next batch
DEADLINE = 10.0  # seconds for one batch
RETRY = 1.0  # seconds between two attempts while the journal fails
ATTEMPTS = 3  # per batch while the server stops; then it is dropped


class SessionRecorder:
    """Writes entries in order. A batch is kept until it is written.

    Each failure is reported as ``backend_failed``. Dropped are an entry that the journal refuses, and a batch that
    still cannot be written when the server stops.
    """

    def __init__(self, journal: SessionJournal, events: EventSink) -> None:
        self._journal = journal
        self._events = events
        self._entries: deque[tuple[JournalEntry, ResumptionDraft | None]] = deque()
        self._seen: deque[SessionView] = deque()  # of a checkpoint, written when no entries wait
        self._some, self._none, self._hurry = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._none.set()

    @property
    def behind(self) -> bool:
        return len(self._entries) >= MAX_BEHIND

    @property
    def idle(self) -> bool:
        """True if nothing waits, and a checkpoint would not be skipped."""
        return not self._entries and not self._seen

    def opened(self, view: SessionView, draft: ResumptionDraft | None = None) -> None:
        """``draft`` is rendered when its batch is written, unless the session has ended by then."""
        self._entries.append((JournalEntry(Stage.OPENED, view), draft))
        self._wake()

    def changed(self, view: SessionView, draft: ResumptionDraft) -> None:
        """The client has another channel."""
        self._entries.append((JournalEntry(Stage.SEEN, view), draft))
        self._wake()

    def closed(self, view: SessionView, reason: CloseReason) -> None:
        self._entries.append((JournalEntry(Stage.CLOSED, view, reason), None))
        self._wake()

    def checkpoint(self, views: Sequence[SessionView]) -> None:
        """Record the counters so far. Skipped while other entries wait: the next checkpoint has them."""
        if views and self.idle:
            self._seen.extend(views)
            self._wake()

    async def run(self) -> None:
        """Write entries until cancelled."""
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

    async def written(self, seconds: float) -> None:
        """Return when every entry made so far is written, after ``seconds`` at the latest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._none.wait()

    async def drain(self) -> None:
        """Return when every entry made so far is written. Further batches are written without pause."""
        self._hurry.set()
        await self._none.wait()

    def _wake(self) -> None:
        self._none.clear()
        self._some.set()

    def _take(self) -> list[JournalEntry]:
        entries, seen = self._entries, self._seen
        if entries:
            batch = [entries.popleft() for _ in range(min(BATCH, len(entries)))]
            ended = {entry.view.id for entry, _ in batch if entry.stage is Stage.CLOSED}
            for entry, draft in batch:
                if draft is not None and entry.view.id not in ended:
                    entry.resumption = self._render(draft)
            return [entry for entry, _ in batch]
        return [JournalEntry(Stage.SEEN, seen.popleft()) for _ in range(min(BATCH, len(seen)))]

    def _render(self, draft: ResumptionDraft) -> str:
        """Empty for a session that no later process can give back: it is none the worse itself."""
        try:
            return draft.render()
        except TypeError as error:  # of settings from outside
            self._events.emit(VpnEvent.BACKEND_FAILED, what="keeping a session", error=repr(error))
            return ""

    async def _write(self, batch: list[JournalEntry]) -> None:
        stopping = 0  # attempts since the server began to stop
        while stopping < ATTEMPTS:
            stopping += self._hurry.is_set()
            try:
                async with asyncio.timeout(DEADLINE):
                    left_out = await self._journal.record(batch)
            except Exception as error:  # noqa: BLE001 - a failing journal must not stop tunnels
                self._report(error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(RETRY):
                        await self._hurry.wait()
            else:
                for _entry, fault in left_out:
                    self._report(fault)
                return

    def _report(self, error: Exception) -> None:
        self._events.emit(VpnEvent.BACKEND_FAILED, what="journal", error=repr(error))
