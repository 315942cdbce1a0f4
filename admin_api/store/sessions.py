# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of VPN sessions: one start, one stop, whatever is reported twice, late or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from admin_api.store.tables import SessionRecord
from vpn_frontend.ports import CloseReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from admin_api.clock import Clock
    from vpn_frontend.ports import SessionView


# The columns that are counters of the gateway, by the same names.
COUNTED = (
    "rx_packets",
    "rx_bytes",
    "tx_packets",
    "tx_bytes",
    "rx_dropped",
    "tx_dropped",
    "dtls_rx_packets",
    "dtls_rx_bytes",
    "dtls_tx_packets",
    "dtls_tx_bytes",
)


class SessionRepository:
    def __init__(self, session: AsyncSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    async def open(self, view: SessionView) -> None:
        if await self._find(view.id) is None:
            self._session.add(self._record(view))
            await self._session.flush()

    async def close(self, view: SessionView, reason: CloseReason) -> None:
        """The first stop counts; a session whose start was never written gets its whole account now."""
        record = await self._find(view.id)
        if record is None:
            record = self._record(view)
            self._session.add(record)
        if record.ended_at is None:
            self._update(record, view)
            record.ended_at = self._clock.wall()
            record.end_reason = reason.value
        await self._session.flush()

    async def checkpoint(self, view: SessionView) -> None:
        record = await self._find(view.id)
        if record is not None and record.ended_at is None:
            self._update(record, view)
            await self._session.flush()

    async def close_orphans(self) -> int:
        """Sessions of a process that is gone end when their counters were last seen: nothing later is known."""
        closing = (
            update(SessionRecord)
            .where(SessionRecord.ended_at.is_(None))
            .values(ended_at=SessionRecord.seen_at, end_reason=CloseReason.CRASHED.value)
            .returning(SessionRecord.serial)
        )
        return len((await self._session.scalars(closing)).all())

    async def page(self, *, before: int | None, limit: int, user: str | None = None) -> Sequence[SessionRecord]:
        """Newest first."""
        query = select(SessionRecord).order_by(SessionRecord.serial.desc()).limit(limit)
        if before is not None:
            query = query.where(SessionRecord.serial < before)
        if user is not None:
            query = query.where(SessionRecord.user == user)
        return (await self._session.scalars(query)).all()

    async def _find(self, session_id: str) -> SessionRecord | None:
        return await self._session.scalar(select(SessionRecord).where(SessionRecord.id == session_id))

    def _record(self, view: SessionView) -> SessionRecord:
        record = SessionRecord(
            id=view.id,
            user=view.user,
            groups=list(view.groups),
            ipv4=_text(view.ipv4),
            ipv6=_text(view.ipv6),
            user_agent=view.user_agent,
            hostname=view.hostname,
            started_at=view.started_at,
        )
        self._update(record, view)
        return record

    def _update(self, record: SessionRecord, view: SessionView) -> None:
        """What changes while a session lives. The transport of a session without a channel is the last it had."""
        record.address = str(view.address)
        record.port = view.port
        record.tls_version = view.tls_version
        record.cipher = view.cipher
        if record.transport is None or view.transport != "none":
            record.transport = view.transport
        record.seen_at = self._clock.wall()
        for name in COUNTED:
            setattr(record, name, getattr(view.counters, name))


def _text(value: Any) -> str | None:  # noqa: ANN401 - either family
    return None if value is None else str(value)
