# SPDX-License-Identifier: GPL-3.0-or-later
"""Queues events for the webhooks that want them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from admin_api.event_hub import GAP
from admin_api.events.schemas import show_event
from admin_api.log_events import ApiEvent
from admin_api.store.failures import is_unavailable
from vpn_frontend.ports import VpnEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from admin_api.event_hub import EventHub
    from admin_api.server_event import ServerEvent
    from admin_api.store import Store
    from admin_api.store.webhook_tables import Webhook
    from vpn_frontend.ports import EventSink

MAX_PENDING = 10_000  # deliveries of one webhook; further events are dropped, with a log line
BATCH = 256  # events queued in one transaction
STORE_PAUSE = 1.0  # seconds until a failed write is tried again
# An event of a failed delivery would be a delivery that may fail.
NEVER_SENT = frozenset({ApiEvent.WEBHOOK_DELIVERY_DEAD, ApiEvent.WEBHOOK_DISABLED, ApiEvent.WEBHOOK_QUEUE_FULL})
ON_REQUEST = frozenset({"decision"})  # sent only to webhooks that name it


def wants(kinds: Sequence[str], kind: str) -> bool:
    """True if a webhook with ``kinds`` gets events of ``kind``. A gap concerns every webhook."""
    if kind in NEVER_SENT:
        return False
    return kind in kinds or kind == GAP or (not kinds and kind not in ON_REQUEST)


def render_body(event: ServerEvent) -> str:
    shown = show_event(event).model_dump(mode="json")
    return json.dumps({"type": shown["kind"], "timestamp": shown["at"], "data": shown["fields"]})


class Collector:
    """Call ``run`` in a task. ``webhooks`` may be replaced at any time; events in the meantime are matched as before.

    Events are in the store a moment after they happen. While it cannot be written they wait in memory, up to what the
    event hub keeps for a listener; those of the last moment before a crash are lost.
    """

    def __init__(self, store: Store, hub: EventHub, report: EventSink, queued: Callable[[], None]) -> None:
        """``report`` gets the collector's own events. ``queued`` is called when deliveries were queued."""
        self._store, self._hub, self._report, self._queued = store, hub, report, queued
        self._full: set[str] = set()  # webhooks whose full queue is reported
        self.webhooks: Mapping[str, Webhook] = {}  # the enabled ones, by id

    async def run(self) -> None:
        with self._hub.listening(own=True) as listener:
            async for events in listener.batches(BATCH):
                try:
                    await self._take(events)
                except Exception as error:  # noqa: BLE001 - what these events are: the next ones are queued all the same
                    self._report.emit(VpnEvent.BACKEND_FAILED, what="webhooks", error=repr(error))

    async def _take(self, events: Sequence[ServerEvent]) -> None:
        """Queue events for the webhooks that want them. Waits while the store cannot be written."""
        wanted = [
            (name, event)
            for event in events
            for name, webhook in self.webhooks.items()
            if wants(webhook.kinds, event.kind)
        ]
        deliveries = [(name, event.kind, render_body(event)) for name, event in wanted]
        while deliveries:
            if await self._queue(deliveries):
                break
            await asyncio.sleep(STORE_PAUSE)

    async def _queue(self, deliveries: Sequence[tuple[str, str, str]]) -> bool:
        """Returns false if the store cannot be written at present."""
        try:
            async with self._store.write() as unit:
                present = {row.id for row in await unit.webhooks.read_all()}
                wanted = [one for one in deliveries if one[0] in present]
                room = {
                    name: MAX_PENDING - await unit.webhooks.count_pending(name) for name in {one[0] for one in wanted}
                }
                kept, dropped = _fit(wanted, room)
                await unit.webhooks.enqueue(kept)
        except Exception as error:
            if is_unavailable(error):
                return False
            raise
        for name, count in dropped.items():
            if name not in self._full:
                self._report.emit(ApiEvent.WEBHOOK_QUEUE_FULL, webhook=name, dropped=count)
        self._full = {*dropped, *(self._full - room.keys())}
        self._queued()
        return True


def _fit(
    deliveries: Sequence[tuple[str, str, str]], room: dict[str, int]
) -> tuple[list[tuple[str, str, str]], dict[str, int]]:
    """Returns the deliveries that fit in the queues, and how many of each webhook do not."""
    kept, dropped = [], dict[str, int]()
    left = dict(room)
    for one in deliveries:
        if left[one[0]] > 0:
            left[one[0]] -= 1
            kept.append(one)
        else:
            dropped[one[0]] = dropped.get(one[0], 0) + 1
    return kept, dropped
