# SPDX-License-Identifier: GPL-3.0-or-later
"""The event stream's hub: hands every event to all listeners and keeps the latest ones for reconnects.

The hub never waits for a listener: each has a bounded queue that drops its oldest event and counts the drops. Event ids
rise and begin with this process's start time. An id of an earlier process is answered with a gap event.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from admin_api.clock import SYSTEM_CLOCK, Clock
from admin_api.metrics.event_counts import EventCounts
from admin_api.metrics.place_counts import PlaceCounts
from admin_api.server_event import ServerEvent
from vpn_frontend.ports import VpnEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator
    from datetime import datetime

KEPT = 4096  # events kept for reconnects; some minutes of a busy server
QUEUE = KEPT  # events queued for one listener: after a reconnect, up to all that are kept
MAX_LISTENERS = 64
KEPT_DECISIONS = 2048
GAP = "gap"
# ``GET /decisions`` lists these, and every event with a ``verdict`` field.
DECISIONS = frozenset({VpnEvent.LOGIN_ACCEPTED, VpnEvent.LOGIN_REFUSED, VpnEvent.TUNNEL_REFUSED, VpnEvent.LINK_REFUSED})


class TooManyListenersError(Exception):
    """``MAX_LISTENERS`` listen already."""


class EventHub:
    """An ``EventSink``. Used on the event loop's thread only."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._boot = int(clock.wall().timestamp() * 1000)
        self._number = 0
        self._kept: deque[ServerEvent] = deque(maxlen=KEPT)
        self._decisions: deque[ServerEvent] = deque(maxlen=KEPT_DECISIONS)
        self._listeners: set[Listener] = set()
        self._closed = False
        self.keep_decisions: float | None = None  # seconds
        self.dropped = 0  # events that listeners missed
        self.event_counts = EventCounts()
        self.place_counts = PlaceCounts()

    def emit(self, kind: str, **fields: object) -> None:
        self.take(kind, fields)

    def emit_at(self, at: datetime, kind: str, /, **fields: object) -> None:
        """Take an event that happened at ``at``, some moments ago."""
        self.take(kind, fields, at)

    def take(self, kind: str, fields: dict[str, object], at: datetime | None = None) -> None:
        """As ``emit_at``, by default of now. The caller leaves ``fields`` alone from then on."""
        self._number += 1
        event = ServerEvent(kind, self._clock.wall() if at is None else at, fields, self._number)
        self._kept.append(event)
        self.event_counts.count(kind, fields)
        if kind in DECISIONS or "verdict" in fields:
            self._decisions.append(event)
            self.place_counts.count(fields)
        for listener in self._listeners:
            self.dropped += listener.put(event)

    def close(self) -> None:
        """End every stream, so that a stopping server need not wait for its listeners."""
        self._closed = True
        for listener in self._listeners:
            listener.close()

    def id_of(self, event: ServerEvent) -> str | None:
        """Returns the event id for ``Last-Event-ID``; a gap has none."""
        return None if event.number is None else f"{self._boot}-{event.number}"

    def decisions(self) -> list[ServerEvent]:
        """Returns the latest decisions that are kept, newest first by the time at which they happened."""
        kept = sorted(self._decisions, key=lambda event: (event.at, event.number or 0), reverse=True)
        if self.keep_decisions is None:
            return kept
        oldest = self._clock.wall() - timedelta(seconds=self.keep_decisions)
        return [event for event in kept if event.at >= oldest]

    @contextmanager
    def listening(
        self, last_id: str | None = None, *, kinds: Collection[str] = (), own: bool = False
    ) -> Iterator[Listener]:
        """Yields a listener for events from now on, or after ``last_id``. Raises ``TooManyListenersError``.

        ``kinds``: only these; empty: all. ``own``: for a part of the server, which takes no place of a client.
        """
        if not own and len(self._listeners) >= MAX_LISTENERS:
            raise TooManyListenersError
        listener = Listener(self._clock, closed=self._closed, kinds=kinds)
        if last_id is not None:
            self._catch_up(listener, last_id)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def _catch_up(self, listener: Listener, last_id: str) -> None:
        boot, _, number = last_id.partition("-")
        known = boot == str(self._boot) and number.isascii() and number.isdigit() and len(number) < 20
        last = int(number) if known else 0
        if last > self._number:  # no event has this id
            known, last = False, 0
        oldest = self._kept[0].number if self._kept else None
        if not known:
            listener.missed = None
        elif oldest is not None and oldest > last + 1:
            listener.missed = oldest - last - 1
        for event in self._kept:
            if event.number is not None and event.number > last:
                listener.put(event)


class Listener:
    """One subscriber of the hub, with a queue of at most ``QUEUE`` events. ``missed``: ``None`` means unknown."""

    def __init__(self, clock: Clock, *, closed: bool, kinds: Collection[str] = ()) -> None:
        """``kinds``: those that are queued; empty: all."""
        self._clock = clock
        self._closed = closed
        self._kinds = frozenset(kinds)
        self._queue: deque[ServerEvent] = deque()
        self._ready = asyncio.Event()
        self.missed: int | None = 0

    def put(self, event: ServerEvent) -> int:
        """Queue an event. Returns how many older ones were dropped for it (0 or 1)."""
        if self._kinds and event.kind not in self._kinds:
            return 0
        dropped = 0
        if len(self._queue) >= QUEUE:
            self._queue.popleft()
            dropped = 1
            if self.missed is not None:
                self.missed += 1
        self._queue.append(event)
        self._ready.set()
        return dropped

    def close(self) -> None:
        self._closed = True
        self._ready.set()

    async def events(self) -> AsyncIterator[ServerEvent]:
        """Yields queued and new events until the listener is closed. A gap stands where its events are missing."""
        while True:
            if self.missed != 0:
                gap, self.missed = ServerEvent(GAP, self._clock.wall(), {"missed": self.missed}), 0
                yield gap
            elif self._queue:
                yield self._queue.popleft()
            elif self._closed:
                return
            else:
                self._ready.clear()
                await self._ready.wait()

    async def batches(self, size: int) -> AsyncIterator[list[ServerEvent]]:
        """Yields the events that are queued together, up to ``size`` of them. A gap comes alone."""
        async for event in self.events():
            batch = [event]
            while event.kind != GAP and self._queue and self.missed == 0 and len(batch) < size:
                batch.append(self._queue.popleft())
            yield batch
