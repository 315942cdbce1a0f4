# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of webhooks and their deliveries."""

from datetime import datetime

from pydantic import Field

from admin_api.event_schemas.union import EVENT_KINDS, EventKind
from admin_api.http.values import Body, Text, View
from admin_api.store.webhooks import DeliveryState
from admin_api.webhooks.receivers import WebhookUrl


class WebhookReplace(Body):
    """Everything but the secret."""

    url: WebhookUrl
    kinds: list[EventKind] = Field(
        default_factory=list,
        max_length=len(EVENT_KINDS),
        description="The kinds of events that it gets. Empty: all but `decision`, which can be very many.",
        examples=[["login_refused", "block_added"]],
    )
    enabled: bool = Field(True, description="False: events are not queued, and queued ones wait.", examples=[True])
    note: Text = Field("", description="A remark.", examples=["Incident channel"])


class WebhookView(View):
    id: str = Field(examples=["0193c5e0-0000-7000-8000-000000000000"])
    source: str = Field(description="`api`, or `file` for a read-only one of the configuration.", examples=["api"])
    url: str = Field(examples=["https://hooks.example.org/ocsentry"])
    kinds: list[str] = Field(examples=[["login_refused", "block_added"]])
    enabled: bool = Field(examples=[True])
    disabled_reason: str = Field(description="Why the server disabled it. Empty: it did not.", examples=[""])
    note: str = Field(examples=["Incident channel"])
    pending: int = Field(description="Deliveries that wait.", examples=[0])
    dead: int = Field(description="Deliveries that were given up, of the latest 1000.", examples=[0])
    created_by: str = Field(examples=["ci#a1b2c3d4e5f6"])
    created_at: datetime = Field(examples=["2030-01-01T12:00:00Z"])
    updated_at: datetime = Field(examples=["2030-01-01T12:00:00Z"])


class WebhookCreated(WebhookView):
    secret: str = Field(
        description="What the receiver verifies signatures with. Shown only once.",
        examples=["whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="],
    )


class DeliveryView(View):
    id: str = Field(description="The header webhook-id.", examples=["0193c5e0-0000-7000-8000-000000000001"])
    kind: str = Field(description="The kind of the event.", examples=["block_added"])
    state: DeliveryState = Field(examples=["delivered"])
    attempts: int = Field(description="Made so far.", examples=[1])
    created_at: datetime = Field(examples=["2030-01-01T12:00:00Z"])
    next_at: datetime | None = Field(description="When it is tried next. Null: it has ended.", examples=[None])
    finished_at: datetime | None = Field(examples=["2030-01-01T12:00:01Z"])
    status: int | None = Field(description="What the receiver answered last. Null: nothing.", examples=[204])
    error: str | None = Field(description="Why the last attempt failed.", examples=[None])
