# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows the log of changes: blocks, users, groups, settings, kills and whatever else parts of the server register.

A node has a cursor of its own: the revision that it has applied, and its tag. It reads on when a notification or the
answer to a beat shows a newer revision, so a lost notification costs at most one beat. If the log no longer reaches
back to the cursor, or the change at the cursor has another tag (the database was restored), every part compares its
whole state instead, some nodes at a time (``snapshots.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from admin_api.fleet.calls import Calls
from admin_api.fleet.changes.snapshots import SnapshotTurns
from admin_api.fleet.membership.membership import NodeState
from admin_api.log_events import ApiEvent
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admin_api.fleet.membership.beats import Answer
    from admin_api.fleet.membership.membership import Membership
    from admin_api.store import Store
    from vpn_frontend.ports import EventSink

AT_ONCE = 1000  # changes read at a time
RETRY = 1.0  # seconds until a failed look is repeated; a beat or a notification comes first
READ_WAIT = 5.0  # seconds for an answer
READ = "SELECT * FROM fleet.read_log_v1(%s, %s)"


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the log. ``own``: this process has made it, and it is in force here."""

    revision: int
    kind: str
    key: str
    body: dict[str, Any]
    own: bool
    age: float  # seconds since it was made, by the clock of the database


class Head(NamedTuple):
    revision: int
    floor: int
    tag: str


class Row(NamedTuple):
    """The columns of a change, as ``READ`` returns them behind those of the head."""

    revision: int
    tag: str
    kind: str
    key: str
    body: dict[str, Any]
    origin: str
    age: float


class Part(Protocol):
    """What applies changes of some kinds. Both may be repeated, and changes may come that are in force already."""

    async def apply(self, changes: Sequence[Change]) -> None:
        """Put ``changes`` of its kinds in force, in their order."""

    async def compare(self, *, restored: bool) -> None:
        """Take over the whole state of the database, because the log does not tell what has changed.

        ``restored``: the database is older than what is in force here. What protects must not become less.
        """


class Changes:
    """The cursor of this node, and the task that follows the log."""

    def __init__(self, url: str, store: Store, membership: Membership, events: EventSink) -> None:
        """``url``: of the database. The log has a connection of its own: no login holds up a block."""
        self._calls = Calls(url, 1, int(1000 * READ_WAIT))
        self._store = store
        self._membership = membership
        self._events = events
        self.turns = SnapshotTurns(self._calls, membership, events)
        self._parts: dict[str, Part] = {}
        self._revision = 0
        self._tag = ""
        self._wake = asyncio.Event()
        self._applied = asyncio.Event()  # replaced after each batch
        self._following: asyncio.Task[None] | None = None
        self.unknown = 0  # changes of kinds that this version does not know
        self.problem = ""  # of the last look; empty: there is none

    @property
    def revision(self) -> int:
        """Everything up to here is in force on this node."""
        return self._revision

    def register(self, part: Part, *kinds: str) -> None:
        for kind in kinds:
            self._parts[kind] = part

    async def start(self) -> None:
        """Note where the log stands. Called before the parts read their tables: what they read then is not older."""
        head, _ = await self._read(0, 0)
        self._revision, self._tag = head.revision, head.tag
        self._membership.report(applied=self._revision)

    def follow(self) -> None:
        """Apply changes from now on."""
        self._membership.on_answer(self._look_at)
        self._membership.on_bell(self._ring)
        self._following = asyncio.create_task(self._follow(), name="changes of the fleet")

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        await self._calls.close()

    async def wait_for(self, revision: int) -> None:
        """Wait until this node has applied ``revision``."""
        while self._revision < revision:
            await self._applied.wait()

    def _look_at(self, answer: Answer) -> None:
        if (answer.revision, answer.tag) != (self._revision, self._tag):
            self._wake.set()

    def _ring(self, revision: int) -> None:
        if revision > self._revision:
            self._wake.set()

    async def _follow(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while await self._apply_some():
                    pass
                self.problem = ""
            except Exception as error:  # noqa: BLE001 - any failure: the cursor stays, and all is tried again
                if not self.problem and self._membership.state is not NodeState.CUT_OFF:
                    self._events.emit(ApiEvent.FLEET_CHANGES_FAILED, revision=self._revision, error=repr(error))
                self.problem = repr(error)
                await asyncio.sleep(RETRY)
                self._wake.set()

    async def _apply_some(self) -> bool:
        """Apply the next changes. Returns whether there may be more."""
        head, rows = await self._read(self._revision, AT_ONCE + 1)
        if (head.revision, head.tag) == (self._revision, self._tag):
            return False
        if self._revision < head.floor:
            await self._compare(restored=False)
            return False
        if self._revision:
            if not rows or (rows[0].revision, rows[0].tag) != (self._revision, self._tag):
                await self._compare(restored=True)
                return False
            rows = rows[1:]
        if rows:
            await self._apply(rows)
        return len(rows) >= AT_ONCE

    async def _apply(self, rows: Sequence[Row]) -> None:
        own = self._store.origin
        changes = [
            Change(row.revision, row.kind, row.key, row.body, row.origin == own, max(0.0, row.age)) for row in rows
        ]
        for part, same in groupby(changes, key=lambda change: self._parts.get(change.kind)):
            some = list(same)
            if part is None:
                self.unknown += len(some)
                self._events.emit(ApiEvent.FLEET_CHANGE_UNKNOWN, change=some[0].kind, count=len(some))
            else:
                await part.apply(some)
        self._note(rows[-1].revision, rows[-1].tag)

    async def _compare(self, *, restored: bool) -> None:
        before = self._revision
        async with self.turns.turn():
            head, _ = await self._read(0, 0)
            for part in dict.fromkeys(self._parts.values()):
                await part.compare(restored=restored)
        self._note(head.revision, head.tag)
        if restored:
            self._membership.assert_again()
            self._events.emit(ApiEvent.FLEET_STORE_RESTORED, before=before, revision=head.revision)

    def _note(self, revision: int, tag: str) -> None:
        self._revision, self._tag = revision, tag
        self._membership.report(applied=revision)
        self._applied.set()
        self._applied = asyncio.Event()

    async def _read(self, cursor: int, most: int) -> tuple[Head, Sequence[Row]]:
        """The head, and the changes from ``cursor`` on, all of one moment."""
        rows = await self._calls.call(READ, (cursor, most), READ_WAIT)
        revision, floor, tag = rows[0][:3]
        changes = [Row(row[3], str(row[4]), *row[5:]) for row in rows if row[3] is not None]
        return Head(revision, floor, str(tag)), changes
