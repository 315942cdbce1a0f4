# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows the log of changes: blocks, users, groups, settings, kills and whatever else parts of the server register.

A node has a cursor of its own: the revision that it has applied, and its tag. It reads on when a notification or the
answer to a beat shows a newer revision, so a lost notification costs at most one beat. If the log no longer reaches
back to the cursor, or the change at the cursor has another tag (the database was restored), every part compares its
whole state instead.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import text

from admin_api.fleet.membership.membership import NodeState
from admin_api.log_events import ApiEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admin_api.fleet.membership.beats import Answer
    from admin_api.fleet.membership.membership import Membership
    from admin_api.store import Store
    from vpn_frontend.ports import EventSink

AT_ONCE = 1000  # changes read at a time
RETRY = 1.0  # seconds until a failed look is repeated; a beat or a notification comes first
HEAD = text("SELECT revision, floor, tag FROM fleet.head")
LOG = text(
    "SELECT revision, tag, kind, key, body, node, extract(epoch FROM clock_timestamp() - at) AS age FROM fleet.log"
    " WHERE revision >= :cursor ORDER BY revision LIMIT :limit"
)


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the log. ``own``: this node has made it, and it is in force here."""

    revision: int
    kind: str
    key: str
    body: dict[str, Any]
    own: bool
    age: float  # seconds since it was made, by the clock of the database


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

    def __init__(self, store: Store, membership: Membership, events: EventSink) -> None:
        self._store = store
        self._membership = membership
        self._events = events
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
        self._revision, _, self._tag = await self._read_head()
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
        head, floor, tag = await self._read_head()
        if (head, tag) == (self._revision, self._tag):
            return False
        if head < self._revision:
            await self._compare(restored=True)
            return False
        if self._revision < floor:
            await self._compare(restored=False)
            return False
        async with self._store.connected() as connection:
            values = {"cursor": self._revision, "limit": AT_ONCE + 1}
            rows = (await connection.execute(LOG, values)).all()
        if self._revision:
            if not rows or (rows[0].revision, str(rows[0].tag)) != (self._revision, self._tag):
                _, floor, _ = await self._read_head()  # another node may have trimmed the log meanwhile
                await self._compare(restored=self._revision >= floor)
                return False
            rows = rows[1:]
        if rows:
            await self._apply(rows)
        return len(rows) >= AT_ONCE

    async def _apply(self, rows: Sequence[Any]) -> None:
        identity = self._membership.identity
        own = None if identity is None else identity.node
        changes = [
            Change(row.revision, row.kind, row.key, row.body, row.node == own, max(0.0, float(row.age))) for row in rows
        ]
        for part, same in groupby(changes, key=lambda change: self._parts.get(change.kind)):
            some = list(same)
            if part is None:
                self.unknown += len(some)
                self._events.emit(ApiEvent.FLEET_CHANGE_UNKNOWN, change=some[0].kind, count=len(some))
            else:
                await part.apply(some)
        self._note(rows[-1].revision, str(rows[-1].tag))

    async def _compare(self, *, restored: bool) -> None:
        before = self._revision
        revision, _, tag = await self._read_head()
        for part in dict.fromkeys(self._parts.values()):
            await part.compare(restored=restored)
        self._note(revision, tag)
        if restored:
            self._membership.assert_again()
            self._events.emit(ApiEvent.FLEET_STORE_RESTORED, before=before, revision=revision)

    def _note(self, revision: int, tag: str) -> None:
        self._revision, self._tag = revision, tag
        self._membership.report(applied=revision)
        self._applied.set()
        self._applied = asyncio.Event()

    async def _read_head(self) -> tuple[int, int, str]:
        async with self._store.connected() as connection:
            row = (await connection.execute(HEAD)).one()
        return row.revision, row.floor, str(row.tag)
