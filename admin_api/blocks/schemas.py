# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of blocks."""

from datetime import datetime
from ipaddress import ip_network
from typing import Annotated

from pydantic import Field, Strict

from admin_api.enforcement.blocks.enforced import BlockList
from admin_api.enforcement.blocks.table import BlockEntry
from admin_api.http.values import MAX_TTL, Body, Cidr, Text, View

Ttl = Annotated[float, Field(gt=0, le=MAX_TTL, allow_inf_nan=False)]


class BlockCreate(Body):
    cidr: Cidr = Field(description="A network or a single address.", examples=["198.51.100.0/24"])
    reason: Text = Field("", description="Shown to the clients that are disconnected.", examples=["Brute force"])
    ttl: Annotated[Ttl, Strict()] | None = Field(
        None, description="Seconds. Without it the block has no end.", examples=[3600]
    )


class BlockView(View):
    id: str
    cidr: Cidr
    reason: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    stored: bool = Field(description="False while the database cannot be written: in force, but lost at a restart.")


def show_block(blocks: BlockList, entry: BlockEntry) -> BlockView:
    return BlockView(
        id=entry.id,
        cidr=ip_network(entry.cidr),
        reason=entry.reason,
        created_by=entry.created_by,
        created_at=entry.created_at,
        expires_at=entry.expires_at,
        stored=blocks.is_stored(entry.id),
    )


class RefusedLine(View):
    """A line that was left out."""

    line: int = Field(examples=[7])
    detail: str = Field(description="Why.", examples=["198.51.100.7/24 has host bits set"])


class BlocksImported(View):
    """What an import did, or in a dry run would do."""

    created: int = Field(description="Networks that were not blocked before.", examples=[999_998])
    changed: int = Field(description="Blocks that got a later end.", examples=[0])
    unchanged: int = Field(description="Networks that were blocked already.", examples=[1])
    refused: int = Field(description="Lines that were left out.", examples=[1])
    sessions_cut: int = Field(description="Live sessions that were disconnected.", examples=[0])
    errors: list[RefusedLine] = Field(description="The first lines that were left out.")
    operation: str = Field(description="Id of the operation.", examples=["0193c5e0-0000-7000-8000-000000000000"])


class BlockDeltas(View):
    """The data of `blocks` and `changes` events."""

    added: list[BlockView] = Field(description="Blocks in force, new or changed.")
    removed: list[Cidr] = Field(description="Networks that are blocked no longer.", examples=[["198.51.100.0/24"]])


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
    applied: Annotated[list[int], Field(min_length=2, max_length=2)] | None = Field(
        None,
        description="With `wait=all`: on how many nodes of the fleet it is in force, and how many are alive.",
        examples=[[3, 3]],
    )


class BlockRemoved(View):
    """A removed block whose row could not be removed yet: a restart before that blocks the network again."""

    id: str
    cidr: Cidr
    stored: bool
