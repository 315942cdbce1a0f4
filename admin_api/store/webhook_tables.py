# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of webhooks. ``migrations`` creates them."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from admin_api.store.columns import Base


class Webhook(Base):
    """A receiver of events. ``kinds``: empty means every kind but ``decision``. The secret is sealed.

    ``source``: ``api``, or ``file`` for one of the configuration. ``disabled_reason``: why the server disabled it.
    """

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str]
    kinds: Mapped[list[str]]
    enabled: Mapped[bool]
    note: Mapped[str]
    source: Mapped[str]
    sealed_secret: Mapped[bytes]
    disabled_reason: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    version: Mapped[int]


PENDING = text("state = 'pending'")  # few of all rows: what a node has sent is kept for a while


class WebhookDelivery(Base):
    """One event for one webhook. ``next_at``: when it is tried next; null: never again. ``node``: which delivers it."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[str] = mapped_column(primary_key=True)
    node: Mapped[str] = mapped_column(server_default="")
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    kind: Mapped[str]
    body: Mapped[str]
    state: Mapped[str]
    attempts: Mapped[int]
    created_at: Mapped[datetime]
    next_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    status: Mapped[int | None]
    error: Mapped[str | None]

    __table_args__ = (
        Index("ix_webhook_deliveries_webhook_id_next_at", "webhook_id", "next_at"),
        Index("ix_webhook_deliveries_webhook_id_state", "webhook_id", "state"),
        # PostgreSQL's is partial too, as its migration says: the word for that would load its dialect at each start.
        Index("ix_webhook_deliveries_pending", "node", "id", sqlite_where=PENDING),
    )
