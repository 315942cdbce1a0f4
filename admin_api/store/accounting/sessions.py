# SPDX-License-Identifier: GPL-3.0-or-later
"""The accounting table of sessions: one start and one stop each, even if reported twice, late or never."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, text, update

from admin_api.store.accounting.session_rows import Account, insert_or_end, update_open
from admin_api.store.filters import conditions_of, page_by
from admin_api.store.json_rows import ROWS, format_time, render_rows
from admin_api.store.tables import SessionRecord
from sentry_engine.records import dataclass
from vpn_frontend.ports import SESSION_ROW, CloseReason, OpenRecord, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Executable
    from sqlalchemy.ext.asyncio import AsyncSession

    from admin_api.clock import Clock
    from vpn_frontend.ports import JournalEntry
    from vpn_frontend.settings import Address


MAX_AT_ONCE = 500  # sessions named in one statement
MAX_LATEST = 200  # sessions of a user that are looked at for their addresses
# Ids of half the length have zeros behind them there.
NOT_OF_THE_FLEET = """NOT EXISTS (SELECT 1 FROM fleet.sessions s
  WHERE s.id = decode(rpad(sessions.id, 32, '0'), 'hex') AND NOT s.void AND NOT s.ghost)"""


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """Which records are wanted; ``None``: all. ``since`` and ``until`` are about when a session started."""

    user: str | None = None
    address: str | None = None
    end_reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        values = (
            (SessionRecord.user, self.user),
            (SessionRecord.address, self.address),
            (SessionRecord.end_reason, self.end_reason),
        )
        return conditions_of(values, SessionRecord.started_at, self.since, self.until)


class SessionRepository:
    """Writes and reads accounting records."""

    def __init__(self, session: AsyncSession, clock: Clock, node: str = "") -> None:
        self._session = session
        self._clock = clock
        self._node = node

    async def record(self, entries: Sequence[JournalEntry]) -> None:
        """Write entries in their order.

        A repeated start changes nothing, and the first stop counts. A stop without a start writes the whole row.
        Counters of a session that has ended, or was never started, are ignored.
        """
        seen_at = format_time(self._clock.wall())
        accounts: dict[str, Account] = {}
        seen: dict[str, Account] = {}
        for entry in entries:
            view, known = entry.view, accounts.get(entry.view.id)
            if entry.stage is Stage.SEEN:
                seen[view.id] = Account(entry)
                if known is not None:  # its end may follow in this batch, and closes the row to later updates
                    known.see(view)
            elif known is None:
                accounts[view.id] = Account(entry)
            elif entry.reason is not None:
                known.end(view, entry.reason)
        if accounts:
            await self._write(insert_or_end, accounts, seen_at)
        if seen:
            await self._write(update_open, seen, seen_at)

    async def _write(
        self, statement: Callable[[str], Executable], accounts: Mapping[str, Account], seen_at: str
    ) -> None:
        rows = [account.row(seen_at, self._node) for account in accounts.values()]
        await self._session.execute(statement(self._session.get_bind().dialect.name), {ROWS: render_rows(rows)})

    async def open_records(self) -> list[OpenRecord]:
        """The sessions that a former process left open, and that can be given back."""
        accounted = SessionRecord.rx_bytes + SessionRecord.tx_bytes
        columns = [getattr(SessionRecord, name) for name in SESSION_ROW]
        query = (
            select(SessionRecord.id, SessionRecord.resumption, accounted, *columns)
            .where(SessionRecord.ended_at.is_(None), SessionRecord.resumption.is_not(None))
            .where(SessionRecord.node == self._node)
            .order_by(SessionRecord.serial)
        )
        return [
            OpenRecord(row[0], row[1] or "", row[2], dict(zip(SESSION_ROW, row[3:], strict=True)))
            for row in await self._session.execute(query)
        ]

    async def close_orphans(self, keep: Collection[str] = ()) -> int:
        """End the open sessions of a crashed process when their counters were last written. Returns how many.

        A fleet ends those that it holds for their clients: they may go on at any node, as after a drain.
        """
        unended = select(SessionRecord.id).where(SessionRecord.ended_at.is_(None), SessionRecord.node == self._node)
        if self._node:
            unended = unended.where(text(NOT_OF_THE_FLEET))
        orphans = [one for one in await self._session.scalars(unended) if one not in keep]
        for start in range(0, len(orphans), MAX_AT_ONCE):
            closing = (
                update(SessionRecord)
                .where(SessionRecord.id.in_(orphans[start : start + MAX_AT_ONCE]))
                .values(ended_at=SessionRecord.seen_at, end_reason=CloseReason.CRASHED.value, resumption=None)
                .execution_options(synchronize_session=False)
            )
            await self._session.execute(closing)
        return len(orphans)

    async def came_from(self, user: str, address: Address) -> bool:
        """True if one of the user's latest sessions came from ``address``, or from the /64 of an IPv6 address."""
        latest = (
            select(SessionRecord.address)
            .where(SessionRecord.user == user)
            .order_by(SessionRecord.started_at.desc())
            .limit(MAX_LATEST)
        )
        network = ip_network((address, 32 if address.version == 4 else 64), strict=False)
        return any(ip_address(text) in network for text in {*await self._session.scalars(latest)})

    async def from_address(self, address: str, limit: int) -> Sequence[SessionRecord]:
        """Returns the latest sessions whose source was ``address``, newest first."""
        query = select(SessionRecord).where(SessionRecord.address == address)
        return (await self._session.scalars(query.order_by(SessionRecord.serial.desc()).limit(limit))).all()

    async def forget_before(self, moment: datetime, limit: int) -> int:
        """Remove up to ``limit`` records of sessions that ended before ``moment``. Returns how many."""
        old = select(SessionRecord.serial).where(SessionRecord.ended_at < moment).limit(limit)
        gone = delete(SessionRecord).where(SessionRecord.serial.in_(old)).returning(SessionRecord.serial)
        return len((await self._session.scalars(gone)).all())

    async def page(
        self, *, past: int | None, limit: int, wanted: AccountFilter | None = None, rising: bool = False
    ) -> Sequence[SessionRecord]:
        """Returns records past the serial ``past``, newest first unless ``rising``."""
        query = page_by(select(SessionRecord), SessionRecord.serial, past=past, limit=limit, rising=rising)
        for condition in () if wanted is None else wanted.conditions():
            query = query.where(condition)
        return (await self._session.scalars(query)).all()
