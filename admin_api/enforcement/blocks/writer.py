# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes changes of blocks to the store, beside the change itself.

A block is in force before it is written: a database that is locked, full or away holds up no operator. What could not
be written is tried again every ``RETRY`` seconds. It is lost only with the process, which says so in its log.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol

from admin_api.enforcement.blocks.table import BlockEntry
from admin_api.http.problems import unavailable
from admin_api.log_events import ApiEvent
from admin_api.store.failures import describe_failure, is_unavailable
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime

    from admin_api.store import Store, UnitOfWork
    from vpn_frontend.ports import EventSink

STORE_WAIT = 2.0  # seconds: the longest that a change waits for the store before it is reported as not stored
RETRY = 5.0  # seconds between two attempts
STOP_WAIT = 10.0  # seconds for the last attempt of a stopping server
MAX_NOTES = 10_000  # audit rows that wait; further changes by callers are refused
MAX_NAMED = 20  # networks in one event


@dataclass(frozen=True, slots=True)
class AuditNote:
    """An audit row to be written with a change. ``at`` is when the change was made."""

    actor: str
    action: str
    target: str
    at: datetime
    detail: Mapping[str, Any]


@dataclass(slots=True)
class Change:
    """The state of one block that the store lacks. Without ``entry`` the block is gone."""

    id: str
    cidr: str
    entry: BlockEntry | None
    notes: list[AuditNote] = field(default_factory=list)
    tried: bool = False  # an attempt to write it has failed


class BlockRows(Protocol):
    """The rows of blocks in the store."""

    follow_clock: bool  # their ends are moved when the wall clock of this machine jumps

    def refuse_removal(self) -> None:
        """Raises ``ApiError`` (503) if nothing may be removed now."""

    def read(self, unit: UnitOfWork) -> AsyncIterator[list[BlockEntry]]:
        """Yields all blocks, some at a time."""

    async def write(self, unit: UnitOfWork, changes: list[Change]) -> None:
        """Write ``changes`` with their audit rows in one unit of work."""


class OwnRows:
    """The rows of a server that has its database for itself."""

    follow_clock = True

    def refuse_removal(self) -> None:
        """What cannot be removed from the store yet is removed later."""

    async def read(self, unit: UnitOfWork) -> AsyncIterator[list[BlockEntry]]:
        async for rows in unit.blocks.read_in_steps():
            yield [
                BlockEntry(row.id, row.cidr, row.reason, row.created_by, row.created_at, row.expires_at) for row in rows
            ]

    async def write(self, unit: UnitOfWork, changes: list[Change]) -> None:
        # Removals first: a network may have been blocked again under another id.
        await unit.blocks.remove([change.id for change in changes if change.entry is None])
        await unit.blocks.put([change.entry for change in changes if change.entry is not None])
        await write_notes(unit, changes)


class BlockWriter:
    """A task that writes all waiting changes in one transaction. At most one change of each block waits."""

    def __init__(self, store: Store, events: EventSink, rows: BlockRows) -> None:
        self._store = store
        self._rows = rows
        self._events = events
        self._waiting: dict[str, Change] = {}
        self._writing: dict[str, Change] = {}
        self._wake = asyncio.Event()
        self._attempted = asyncio.Event()  # replaced after each attempt
        self._closing = False
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="writer of blocks")

    async def stop(self) -> None:
        """Try to write what waits once more, for up to ``STOP_WAIT`` seconds. Reports what is lost."""
        if self._task is None:
            return
        self._closing = True
        self._wake.set()
        await asyncio.wait({self._task}, timeout=STOP_WAIT)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        lost = [change.cidr for change in (*self._writing.values(), *self._waiting.values())]
        if lost:
            self._events.emit(ApiEvent.BLOCK_CHANGES_LOST, changes=len(lost), networks=lost[:MAX_NAMED])

    @property
    def waiting(self) -> int:
        """How many blocks have a change that is not stored."""
        return len(self._waiting.keys() | self._writing.keys())

    def refuse_when_full(self) -> None:
        """Raises ``ApiError`` (503) if ``MAX_NOTES`` changes wait."""
        if sum(len(change.notes) for change in (*self._waiting.values(), *self._writing.values())) >= MAX_NOTES:
            raise unavailable(f"{MAX_NOTES} changes of blocks wait for the database; nothing was changed")

    def put(self, entry: BlockEntry, note: AuditNote | None = None) -> None:
        """Have ``entry`` written: a new block, or a changed one."""
        self._add_change(Change(entry.id, entry.cidr, entry), note)

    def remove(self, entry: BlockEntry, note: AuditNote | None = None) -> None:
        """Have the row of ``entry`` removed."""
        self._add_change(Change(entry.id, entry.cidr, None), note)

    def networks(self) -> set[str]:
        """The networks whose blocks have a change that is not stored."""
        return {change.cidr for change in (*self._waiting.values(), *self._writing.values())}

    def is_stored(self, block_id: str) -> bool:
        return block_id not in self._waiting and block_id not in self._writing

    async def settle(self, block_id: str, wait: float | None = None) -> bool:
        """Wait until the change is written, an attempt failed, or ``wait`` seconds are over. Returns whether it is.

        ``wait``: ``STORE_WAIT`` by default.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STORE_WAIT if wait is None else wait):
                while (change := self._find(block_id)) is not None and not change.tried:
                    await self._attempted.wait()
        return self.is_stored(block_id)

    def _add_change(self, change: Change, note: AuditNote | None) -> None:
        earlier = self._waiting.pop(change.id, None)
        change.notes = [*(earlier.notes if earlier else ()), *([note] if note else ())]
        self._waiting[change.id] = change
        self._wake.set()

    def _find(self, block_id: str) -> Change | None:
        return self._waiting.get(block_id) or self._writing.get(block_id)

    async def _run(self) -> None:
        while True:
            last = self._closing
            self._wake.clear()
            written = await self._attempt() if self._waiting else True
            if last:
                return
            if not self._waiting or not written:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if written else RETRY):
                        await self._wake.wait()

    async def _attempt(self) -> bool:
        """Try to write everything that waits. Returns false if something still waits for the store."""
        self._writing, self._waiting = self._waiting, {}
        failed, error = await self._write([*self._writing.values()])
        stored = len(self._writing) - len(failed)
        self._take_back(failed)
        self._writing = {}
        self._attempted.set()
        self._attempted = asyncio.Event()
        if error is not None and not self._failing:
            networks = [change.cidr for change in failed[:MAX_NAMED]]
            why = describe_failure(error)
            self._events.emit(ApiEvent.BLOCK_CHANGES_NOT_STORED, changes=len(failed), networks=networks, error=why)
        elif error is None and self._failing:
            self._events.emit(ApiEvent.BLOCK_CHANGES_STORED, changes=stored)
        self._failing = error is not None
        return error is None

    def _take_back(self, failed: list[Change]) -> None:
        """Let failed changes wait again. A later change of the same block replaces the failed one."""
        newer, self._waiting = self._waiting, {}
        for change in failed:
            change.tried = True
            if (later := newer.pop(change.id, None)) is not None:
                later.notes[:0] = change.notes
                change = later  # noqa: PLW2901
            self._waiting[change.id] = change
        self._waiting |= newer

    async def _write(self, changes: list[Change]) -> tuple[list[Change], Exception | None]:
        """Write ``changes`` in one transaction; one by one if one of them is refused. Returns those that failed."""
        try:
            async with self._store.write() as unit:
                await self._rows.write(unit, changes)
        except Exception as error:  # noqa: BLE001 - any failure: the block stays in force, and the change is kept
            if is_unavailable(error) or len(changes) == 1:
                return changes, error
        else:
            return [], None
        outcomes = [await self._write([change]) for change in changes]
        errors = [error for _, error in outcomes if error is not None]
        return [change for failed, _ in outcomes for change in failed], errors[0] if errors else None


async def write_notes(unit: UnitOfWork, changes: list[Change]) -> None:
    """Write the audit rows of ``changes``."""
    for change in changes:
        for note in change.notes:
            await unit.audit.add_late(note.actor, note.action, note.target, note.detail, note.at)
