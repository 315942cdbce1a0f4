# SPDX-License-Identifier: GPL-3.0-or-later
"""Delivers queued events: one task for each webhook, so that no receiver makes another one wait.

Deliveries outlive the process. What was sent but not noted when it ended is sent again (at least once), and the order
of retries is not that of the events: receivers go by ``webhook-id`` and ``timestamp``.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from admin_api.log_events import ApiEvent
from admin_api.second_factors.secret_box import SealError
from admin_api.webhooks.attempts import GONE, judge
from admin_api.webhooks.collector import Collector
from admin_api.webhooks.signature import sign
from vpn_frontend.ports import VpnEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from admin_api.clock import Clock
    from admin_api.event_hub import EventHub
    from admin_api.ports import WebhookAnswer, WebhookSender
    from admin_api.second_factors.secret_box import SecretBox
    from admin_api.store import Store
    from admin_api.store.webhook_tables import Webhook, WebhookDelivery
    from admin_api.store.webhooks import Outcome
    from vpn_frontend.ports import EventSink

BATCH = 32  # deliveries read at a time
NOTE_INTERVAL = 1.0  # seconds until outcomes are noted; a crash repeats the deliveries since
MAX_WAIT = 60.0  # seconds until the queue is read again without a cause: the wall clock may have jumped
STORE_PAUSE = 5.0  # seconds until a store that failed is asked again
KEPT = 1000  # ended deliveries of one webhook
PRUNE_EVERY = 100  # ended deliveries
GONE_TEXT = f"the receiver answered {GONE} (Gone)"


class WebhookDispatcher:
    """The API's ``WebhookControl``. ``box`` opens the secrets."""

    def __init__(
        self,
        store: Store,
        hub: EventHub,
        box: SecretBox,
        sender: WebhookSender,
        events: EventSink,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store, self._box, self._sender, self._events, self._chance = store, box, sender, events, chance
        self._clock: Clock = store.clock
        self._collector = Collector(store, hub, events, self._wake_all)
        self._collecting: asyncio.Task[None] | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wake: dict[str, asyncio.Event] = {}
        self._applying = asyncio.Lock()

    async def apply(self) -> None:
        async with self._applying:
            async with self._store.read() as unit:
                enabled = {row.id: row for row in await unit.webhooks.read_all() if row.enabled}
            self._collector.webhooks = enabled
            if enabled and self._collecting is None:
                self._collecting = asyncio.create_task(self._collector.run(), name="webhooks: collector")
                await asyncio.sleep(0)  # it listens before this returns
            elif not enabled:
                await self._end_collecting()
            gone = [self._tasks.pop(name) for name in [*self._tasks] if name not in enabled]
            await _cancel(gone)
            for name in enabled:
                self._wake.setdefault(name, asyncio.Event()).set()
                if name not in self._tasks:
                    self._tasks[name] = asyncio.create_task(self._deliver_all(name), name=f"webhook {name}")
            self._wake = {name: event for name, event in self._wake.items() if name in enabled}

    async def stop(self) -> None:
        """End all tasks. A request in flight is not waited for, and is repeated after the next start."""
        async with self._applying:
            await self._end_collecting()
            await _cancel([*self._tasks.values()])
            self._tasks.clear()

    async def _end_collecting(self) -> None:
        if self._collecting is not None:
            await _cancel([self._collecting])
            self._collecting = None

    def _wake_all(self) -> None:
        for event in self._wake.values():
            event.set()

    async def _deliver_all(self, name: str) -> None:
        """Deliver what is due to one webhook, then wait for more."""
        ended = PRUNE_EVERY  # once at the start
        while True:
            wake = self._wake[name]
            wake.clear()
            try:
                count, wait = await self._deliver_due(name)
                ended += count
                if ended >= PRUNE_EVERY:
                    async with self._store.write() as unit:
                        await unit.webhooks.forget_ended(name, KEPT)
                    ended = 0
            except Exception as error:  # noqa: BLE001 - the store: it is asked again, and nothing is lost
                self._events.emit(VpnEvent.BACKEND_FAILED, what="webhooks", error=repr(error))
                wait = STORE_PAUSE
            if wait > 0:
                try:
                    async with asyncio.timeout(wait):
                        await wake.wait()
                except TimeoutError:
                    continue

    async def _deliver_due(self, name: str) -> tuple[int, float]:
        """Returns how many deliveries have ended, and in how many seconds there is something to do."""
        async with self._store.read() as unit:
            webhook = await unit.webhooks.get(name)
            due = await unit.webhooks.due(name, BATCH)
            next_at = None if due else await unit.webhooks.next_time(name)
        if webhook is None or not webhook.enabled:
            return 0, MAX_WAIT
        if not due:
            wait = MAX_WAIT if next_at is None else (next_at - self._clock.wall()).total_seconds()
            return 0, min(max(wait, 0.0), MAX_WAIT)
        done: list[tuple[WebhookDelivery, Outcome]] = []
        ended, since = 0, self._clock.monotonic()
        for delivery in due:
            outcome = await self._attempt(webhook, delivery)
            done.append((delivery, outcome))
            ended += outcome.next_at is None
            if outcome.status == GONE:
                break
            if self._clock.monotonic() - since >= NOTE_INTERVAL:
                await self._note(webhook, done)
                done, since = [], self._clock.monotonic()
        await self._note(webhook, done)
        return ended, 0.0

    async def _attempt(self, webhook: Webhook, delivery: WebhookDelivery) -> Outcome:
        body = delivery.body.encode()
        answer: WebhookAnswer | OSError
        try:
            secret = self._box.open(webhook.sealed_secret, webhook.id)
            headers = sign(secret, delivery.id, int(self._clock.wall().timestamp()), body)
            answer = await self._sender.send(webhook.url, headers, body)
        except SealError as error:
            answer = OSError(str(error))
        except OSError as error:
            answer = error
        return judge(delivery, answer, self._clock.wall(), self._chance())

    async def _note(self, webhook: Webhook, done: Sequence[tuple[WebhookDelivery, Outcome]]) -> None:
        """Write the outcomes, and disable a webhook whose receiver is gone."""
        gone = any(outcome.status == GONE for _, outcome in done)
        async with self._store.write() as unit:
            await unit.webhooks.note_outcomes([outcome for _, outcome in done])
            if gone:
                await unit.webhooks.disable(webhook.id, GONE_TEXT)
        for delivery, outcome in done:
            if outcome.next_at is None and not outcome.delivered:
                self._events.emit(
                    ApiEvent.WEBHOOK_DELIVERY_DEAD,
                    webhook=webhook.id,
                    delivery=delivery.id,
                    event=delivery.kind,
                    error=outcome.error,
                )
        if gone:
            others = self._collector.webhooks.items()
            self._collector.webhooks = {name: other for name, other in others if name != webhook.id}
            self._events.emit(ApiEvent.WEBHOOK_DISABLED, webhook=webhook.id, reason=GONE_TEXT)


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
