# SPDX-License-Identifier: GPL-3.0-or-later
"""Webhooks and the queue of their deliveries. Secrets arrive sealed: this module knows no key."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, insert, select, update

from admin_api.store.columns import new_id
from admin_api.store.filters import page_by
from admin_api.store.turns import AUDIT, take_turn
from admin_api.store.webhook_tables import Webhook, WebhookDelivery
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

    from admin_api.clock import Clock
    from admin_api.store.change_log import ChangeLog


AHEAD = timedelta(days=365)  # of all that wait


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"  # given up


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt. ``next_at``: when it is tried again; ``None``: the delivery has ended."""

    delivery_id: str
    delivered: bool
    attempts: int
    next_at: datetime | None = None
    status: int | None = None
    error: str | None = None


class WebhookRepository:
    """Adds, reads and removes webhooks and deliveries. Each node of a fleet delivers what it has queued."""

    def __init__(self, session: AsyncSession, clock: Clock, changes: ChangeLog, node: str = "") -> None:
        self._session = session
        self._node = node
        self._clock = clock
        self._changes = changes

    async def add(
        self,
        webhook_id: str,
        url: str,
        *,
        kinds: Sequence[str],
        sealed_secret: bytes,
        by: str,
        enabled: bool = True,
        note: str = "",
        source: str = "api",
    ) -> Webhook:
        now = self._clock.wall()
        row = Webhook(
            id=webhook_id,
            url=url,
            kinds=list(kinds),
            enabled=enabled,
            note=note,
            source=source,
            sealed_secret=sealed_secret,
            disabled_reason="",
            created_by=by,
            created_at=now,
            updated_at=now,
            version=1,
        )
        self._session.add(row)
        self._changes.note("webhooks", webhook_id)
        await self._session.flush()
        return row

    def replace(self, row: Webhook, *, url: str, kinds: Sequence[str], enabled: bool, note: str) -> None:
        """Change the row; it is written when the unit of work ends."""
        row.url, row.kinds, row.enabled, row.note = url, list(kinds), enabled, note
        row.disabled_reason = "" if enabled else row.disabled_reason
        row.updated_at = self._clock.wall()
        row.version += 1
        self._changes.note("webhooks", row.id)

    async def disable(self, webhook_id: str, reason: str) -> None:
        self._changes.note("webhooks", webhook_id)
        change = update(Webhook).where(Webhook.id == webhook_id)
        values = {"enabled": False, "disabled_reason": reason, "version": Webhook.version + 1}
        await self._session.execute(change.values(values).execution_options(synchronize_session=False))

    async def get(self, webhook_id: str) -> Webhook | None:
        return await self._session.get(Webhook, webhook_id)

    async def take_turn(self) -> None:
        """Wait until no other transaction adds webhooks, so that of several nodes one adds those of its file."""
        await take_turn(self._session, AUDIT)

    async def read_all(self) -> Sequence[Webhook]:
        return (await self._session.scalars(select(Webhook).order_by(Webhook.id))).all()

    async def remove(self, row: Webhook) -> None:
        """Remove a webhook with its deliveries."""
        self._changes.note("webhooks", row.id)
        await self._session.execute(delete(WebhookDelivery).where(WebhookDelivery.webhook_id == row.id))
        await self._session.delete(row)
        await self._session.flush()

    async def count_states(self) -> dict[tuple[str, str], int]:
        """Returns how many deliveries there are by webhook and state."""
        columns = (WebhookDelivery.webhook_id, WebhookDelivery.state)
        query = select(*columns, func.count()).group_by(*columns)
        return {(row[0], row[1]): row[2] for row in await self._session.execute(query)}

    async def count_pending(self, webhook_id: str) -> int:
        query = select(func.count()).where(
            WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.state == DeliveryState.PENDING
        )
        return await self._session.scalar(query) or 0

    async def enqueue(self, deliveries: Iterable[tuple[str, str, str]], *, first: bool = False) -> list[str]:
        """Queue deliveries: webhook, kind and body of each. Returns their ids. ``first``: before all that wait."""
        now = self._clock.wall()
        rows = [
            {
                "id": new_id(),
                "node": self._node,
                "webhook_id": webhook_id,
                "kind": kind,
                "body": body,
                "state": DeliveryState.PENDING.value,
                "attempts": 0,
                "created_at": now,
                "next_at": now - AHEAD if first else now,
            }
            for webhook_id, kind, body in deliveries
        ]
        if rows:
            await self._session.execute(insert(WebhookDelivery), rows)
        return [str(row["id"]) for row in rows]

    async def due(self, webhook_id: str, limit: int) -> Sequence[WebhookDelivery]:
        """Returns this node's deliveries whose time has come, the one that has waited longest first."""
        query = (
            select(WebhookDelivery)
            .where(WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.next_at <= self._clock.wall())
            .where(WebhookDelivery.node == self._node)
            .order_by(WebhookDelivery.next_at, WebhookDelivery.id)
            .limit(limit)
        )
        return (await self._session.scalars(query)).all()

    async def next_time(self, webhook_id: str) -> datetime | None:
        """Returns when the next delivery of this node is tried. ``None``: none waits."""
        query = select(WebhookDelivery.next_at).where(
            WebhookDelivery.webhook_id == webhook_id,
            WebhookDelivery.next_at.is_not(None),
            WebhookDelivery.node == self._node,
        )
        return await self._session.scalar(query.order_by(WebhookDelivery.next_at).limit(1))

    async def note_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """Write what became of attempts; missing deliveries are skipped."""
        now = self._clock.wall()
        for outcome in outcomes:
            state = DeliveryState.DELIVERED if outcome.delivered else DeliveryState.DEAD
            ended = outcome.next_at is None
            change = update(WebhookDelivery).where(WebhookDelivery.id == outcome.delivery_id)
            await self._session.execute(
                change.values(
                    state=(state if ended else DeliveryState.PENDING).value,
                    attempts=outcome.attempts,
                    next_at=outcome.next_at,
                    finished_at=now if ended else None,
                    status=outcome.status,
                    error=outcome.error,
                ).execution_options(synchronize_session=False)
            )

    async def get_delivery(self, webhook_id: str, delivery_id: str) -> WebhookDelivery | None:
        row = await self._session.get(WebhookDelivery, delivery_id)
        return None if row is None or row.webhook_id != webhook_id else row

    def retry(self, row: WebhookDelivery) -> None:
        """Begin the attempts of a delivery from the start; the row is written when the unit of work ends."""
        row.state, row.attempts, row.next_at, row.finished_at = DeliveryState.PENDING.value, 0, self._clock.wall(), None
        row.node = self._node

    async def page(
        self,
        webhook_id: str,
        *,
        past: str | None,
        limit: int,
        state: DeliveryState | None = None,
        rising: bool = False,
    ) -> Sequence[WebhookDelivery]:
        """Returns deliveries past the id ``past``, newest first unless ``rising``."""
        query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
        if state is not None:
            query = query.where(WebhookDelivery.state == state.value)
        query = page_by(query, WebhookDelivery.id, past=past, limit=limit, rising=rising)
        return (await self._session.scalars(query)).all()

    async def forget_ended(self, webhook_id: str, keep: int) -> None:
        """Remove all ended deliveries of a webhook but the latest ``keep``."""
        ended = select(WebhookDelivery.id).where(
            WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.state != DeliveryState.PENDING.value
        )
        oldest = await self._session.scalar(ended.order_by(WebhookDelivery.id.desc()).offset(keep).limit(1))
        if oldest is not None:
            old = delete(WebhookDelivery).where(
                WebhookDelivery.webhook_id == webhook_id,
                WebhookDelivery.state != DeliveryState.PENDING.value,
                WebhookDelivery.id <= oldest,
            )
            await self._session.execute(old.execution_options(synchronize_session=False))
