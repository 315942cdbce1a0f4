# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes per user and day of sessions with a quota, counted by how much the counters in their records grow.

They are counted in the transaction that writes these counters. So a batch that is written again counts nothing twice,
and after a crash the sums fit the records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sqlalchemy import case, delete, func, select

from admin_api.store.tables import DailyUsage, SessionRecord
from admin_api.store.upsert import upsert
from vpn_frontend.ports import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncSession

    from vpn_frontend.ports import SessionView


class UsageRepository:
    """Reads and adds to the rows of users and days."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def count(self, views: Iterable[SessionView], today: date) -> None:
        """Add what metered sessions moved since their record was written. Called before the record is."""
        metered = {view.id: view for view in views if view.metered}
        if not metered:
            return
        total = SessionRecord.rx_bytes + SessionRecord.tx_bytes
        query = select(SessionRecord.id, total, SessionRecord.ended_at).where(SessionRecord.id.in_(metered))
        known = {row[0]: (row[1], row[2]) for row in await self._session.execute(query)}
        moved: dict[str, int] = {}
        for view in metered.values():
            before, ended_at = known.get(view.id, (0, None))
            more = view.counters.rx_bytes + view.counters.tx_bytes - before
            if ended_at is None and more > 0:
                moved[view.user] = moved.get(view.user, 0) + more
        if not moved:
            return
        insert = upsert(cast("Table", DailyUsage.__table__), self._session.get_bind().dialect.name)
        rows = insert.values([{"user": user, "day": today, "bytes": more} for user, more in moved.items()])
        await self._session.execute(
            rows.on_conflict_do_update(
                index_elements=[DailyUsage.user, DailyUsage.day],
                set_={"bytes": DailyUsage.bytes + rows.excluded.bytes},
            )
        )

    async def so_far(self, today: date) -> dict[str, Usage]:
        """Returns the sums of this day and month, by user."""
        this_day = func.sum(case((DailyUsage.day == today, DailyUsage.bytes), else_=0))
        query = select(DailyUsage.user, this_day, func.sum(DailyUsage.bytes))
        query = query.where(DailyUsage.day >= today.replace(day=1)).group_by(DailyUsage.user)
        return {row[0]: Usage(int(row[1]), int(row[2])) for row in await self._session.execute(query)}

    async def forget_before(self, day: date) -> None:
        """Remove what no quota needs any more."""
        await self._session.execute(delete(DailyUsage).where(DailyUsage.day < day))
