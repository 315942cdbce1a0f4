# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of blocks."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from admin_api.http.values import MAX_TTL, Body, Cidr, Text, View

Ttl = Annotated[float, Field(gt=0, le=MAX_TTL, allow_inf_nan=False)]


class BlockCreate(Body):
    cidr: Cidr = Field(description="A network or a single address.", examples=["198.51.100.0/24"])
    reason: Text = Field("", description="Shown to the clients that are disconnected.", examples=["Brute force"])
    ttl: Ttl | None = Field(None, description="Seconds. Without it the block has no end.", examples=[3600])


class BlockView(View):
    id: str
    cidr: Cidr
    reason: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    stored: bool = Field(description="False while the database cannot be written: in force, but lost at a restart.")


class BlockCreated(View):
    """A block and its effect. ``id`` is null for a dry run."""

    id: str | None
    cidr: Cidr
    reason: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    sessions_cut: int = Field(description="Live sessions that were disconnected; in a dry run, that would be.")
    overridden_by: str | None = Field(description="A rule that still accepts the network's first address.")
    stored: bool = Field(description="False if the database could not be written. The block is in force all the same.")


class BlockRemoved(View):
    """A removed block whose row could not be removed yet: a restart before that blocks the network again."""

    id: str
    cidr: Cidr
    stored: bool
