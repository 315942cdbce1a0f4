# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks of a fleet: how a node stores its own, and how it takes over those of the others.

Ends in the database are by its clock. What travels are the seconds that are left, so no node's wall clock matters.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from admin_api.enforcement.blocks.enforced import outlasts
from admin_api.enforcement.blocks.table import BlockEntry
from admin_api.enforcement.blocks.writer import write_notes
from admin_api.fleet.membership.lease import lease_clock
from admin_api.http.problems import unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from admin_api.clock import Clock
    from admin_api.enforcement.blocks.writer import Change as BlockChange
    from admin_api.enforcement.service import Enforcement
    from admin_api.fleet.changes.changes import Change
    from admin_api.fleet.membership.membership import Membership
    from admin_api.store import Store, UnitOfWork

BLOCK, UNBLOCK = "block", "unblock"  # kinds of changes; the key is the network


class FleetRows:
    """Implements ``BlockRows``: what is written is published in the same transaction."""

    follow_clock = False

    def __init__(self, membership: Membership, clock: Clock) -> None:
        self._membership = membership
        self._clock = clock

    def refuse_removal(self) -> None:
        if not self._membership.lease.is_heard(lease_clock()):
            raise unavailable("this node is cut off from its fleet: blocks can be added, but not removed")

    async def read(self, unit: UnitOfWork) -> AsyncIterator[list[BlockEntry]]:
        ahead = await unit.changes.read_time() - self._clock.wall().timestamp()
        async for rows in unit.blocks.read_in_steps():
            yield [_entry_of(row, ahead) for row in rows]

    async def write(self, unit: UnitOfWork, changes: list[BlockChange]) -> None:
        await write_notes(unit, changes)  # the turn of the audit comes first, as in all units of work
        now = await unit.changes.take_turn()
        ahead = now - self._clock.wall().timestamp()
        for change in changes:
            if change.entry is None and change.notes:  # without a note it has expired, which each node sees for itself
                unit.changes.note(UNBLOCK, change.cidr, id=change.id)
        await unit.blocks.remove([change.id for change in changes if change.entry is None])
        wanted = [_shifted(change.entry, ahead) for change in changes if change.entry is not None]
        rivals = {row.cidr: row for row in await unit.blocks.of_networks([entry.cidr for entry in wanted])}
        put: list[BlockEntry] = []
        replaced: list[str] = []
        for entry in wanted:
            rival = rivals.get(entry.cidr)
            if rival is None or rival.id == entry.id:
                put.append(entry)
                _note(unit, entry, now)
            elif outlasts(entry.expires_at, rival.expires_at):
                replaced.append(rival.id)
                put.append(entry)
                _note(unit, entry, now)
            else:
                _note(unit, _entry_of(rival, 0.0), now)  # for this node itself
        await unit.blocks.remove(replaced)
        await unit.blocks.put(put)


class BlockPart:
    """Applies blocks, those of this node too: another node's may have come between, and the order of the log counts."""

    def __init__(self, enforcement: Enforcement, store: Store, rows: FleetRows, clock: Clock) -> None:
        self._enforcement = enforcement
        self._store = store
        self._rows = rows
        self._clock = clock

    async def apply(self, changes: Sequence[Change]) -> None:
        new: dict[str, BlockEntry] = {}
        gone: list[str] = []
        now = self._clock.wall()
        for change in changes:
            body = change.body
            if change.kind == UNBLOCK:
                gone.append(str(body["id"]))
                if change.key in new and new[change.key].id == body["id"]:
                    del new[change.key]
            elif (entry := _read(change.key, body, now, change.age)) is not None:
                new[entry.cidr] = entry
        if new or gone:
            await self._enforcement.follow_blocks([*new.values()], gone)

    async def compare(self, *, restored: bool) -> None:
        stored: list[BlockEntry] = []
        async with self._store.read() as unit:
            async for entries in self._rows.read(unit):
                stored += entries
        await self._enforcement.compare_blocks(stored, restored=restored)


def _note(unit: UnitOfWork, entry: BlockEntry, now: float) -> None:
    left = None if entry.expires_at is None else round(entry.expires_at.timestamp() - now, 3)
    made = entry.created_at.timestamp()
    facts = {"id": entry.id, "reason": entry.reason, "by": entry.created_by, "made": made, "left": left}
    unit.changes.note(BLOCK, entry.cidr, **facts)


def _read(cidr: str, body: dict[str, Any], now: datetime, age: float) -> BlockEntry | None:
    """The block of a change. ``None``: it has ended."""
    left = body["left"]
    if left is not None and left <= age:
        return None
    end = None if left is None else now + timedelta(seconds=left - age)
    made = datetime.fromtimestamp(body["made"], UTC)
    return BlockEntry(str(body["id"]), cidr, str(body["reason"]), str(body["by"]), made, end)


def _entry_of(row: Any, ahead: float) -> BlockEntry:  # noqa: ANN401 - a row of the columns of blocks
    """The block of a row. ``ahead``: seconds by which the database's clock is ahead of this machine's."""
    end = row.expires_at
    end = None if end is None else end - timedelta(seconds=ahead)
    return BlockEntry(row.id, row.cidr, row.reason, row.created_by, row.created_at, end)


def _shifted(entry: BlockEntry, ahead: float) -> BlockEntry:
    end = entry.expires_at
    return entry if end is None else replace(entry, expires_at=end + timedelta(seconds=ahead))
