# SPDX-License-Identifier: GPL-3.0-or-later
"""The sessions that accounting servers still have to be told of.

A row is written in the transaction that writes the session's own row for the first time, and only then: a batch of the
journal that is written again makes no second row for a session whose end has been told.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import delete, insert, select, update

from admin_api.store.accounting.session_rows import COUNTED
from admin_api.store.tables import SessionAccounting, SessionRecord
from vpn_frontend.accounting.ledger import AccountedSession
from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import CloseReason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import CursorResult
    from sqlalchemy.ext.asyncio import AsyncSession

    from vpn_frontend.ports import SessionView

RADIUS = "radius"  # origin of a login that RADIUS has accepted


class AccountingRepository:
    def __init__(self, session: AsyncSession, node: str) -> None:
        self._session = session
        self._node = node

    async def open_accounts(self, views: Sequence[SessionView]) -> None:
        """Note new sessions. To be called before their own rows are written; sessions that have one are passed over."""
        known = select(SessionRecord.id).where(SessionRecord.id.in_([view.id for view in views]))
        written = set(await self._session.scalars(known))
        rows = {view.id: _row_of(view) for view in views if view.id not in written}
        if rows:
            await self._session.execute(insert(SessionAccounting), list(rows.values()))

    async def due(self, limit: int) -> Sequence[AccountedSession]:
        query = (
            select(SessionAccounting, SessionRecord)
            .join(SessionRecord, SessionRecord.id == SessionAccounting.session_id)
            .where(SessionAccounting.start_told.is_(False) | SessionRecord.ended_at.is_not(None))
            .where(SessionRecord.node == self._node)
            .order_by(SessionRecord.serial)
            .limit(limit)
        )
        return [_session_of(account, record) for account, record in await self._session.execute(query)]

    async def open_told(self) -> Sequence[AccountedSession]:
        query = (
            select(SessionAccounting, SessionRecord)
            .join(SessionRecord, SessionRecord.id == SessionAccounting.session_id)
            .where(SessionAccounting.start_told.is_(True), SessionRecord.ended_at.is_(None))
            .where(SessionRecord.node == self._node)
        )
        return [_session_of(account, record) for account, record in await self._session.execute(query)]

    async def mark_told(self, *, started: Sequence[str], ended: Sequence[str]) -> None:
        of_id = SessionAccounting.session_id.in_
        if started:
            await self._session.execute(update(SessionAccounting).where(of_id(started)).values(start_told=True))
        if ended:
            await self._session.execute(delete(SessionAccounting).where(of_id(ended)))

    async def drop_older_than(self, oldest: datetime) -> int:
        old = select(SessionRecord.id).where(SessionRecord.ended_at < oldest)
        dropped = await self._session.execute(
            delete(SessionAccounting)
            .where(SessionAccounting.session_id.in_(old))
            .execution_options(synchronize_session=False)
        )
        return cast("CursorResult[Any]", dropped).rowcount


def _row_of(view: SessionView) -> dict[str, Any]:
    remote = view.remote
    return {
        "session_id": view.id,
        "name": view.user if remote is None else remote.name,
        "classes": [] if remote is None else [b64encode(value).decode() for value in remote.classes],
        "by_radius": remote is not None and remote.origin == RADIUS,
        "interim": 0 if remote is None else remote.interim,
        "start_told": False,
    }


def _session_of(account: SessionAccounting, record: SessionRecord) -> AccountedSession:
    return AccountedSession(
        id=record.id,
        name=account.name,
        classes=tuple(map(b64decode, account.classes)),
        by_radius=account.by_radius,
        interim=account.interim,
        address=ip_address(record.address),
        ipv4=None if record.ipv4 is None else IPv4Address(record.ipv4),
        ipv6=None if record.ipv6 is None else IPv6Address(record.ipv6),
        started_at=record.started_at,
        counters=Counters(**{name: getattr(record, name) for name in COUNTED}),
        start_told=account.start_told,
        ended_at=record.ended_at,
        end_reason=None if record.end_reason is None else CloseReason(record.end_reason),
    )
