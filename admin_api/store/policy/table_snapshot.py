# SPDX-License-Identifier: GPL-3.0-or-later
"""A table that is replaced and read as a whole: the saved engine state (``sentry_engine.engine.saved_state``)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, inspect, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

    from admin_api.store.columns import Base

ROWS_AT_A_TIME = 1_000  # rows of one insert; preparing them takes the event loop about 10 ms


class TableSnapshot:
    """One table, with one column as its primary key."""

    def __init__(self, session: AsyncSession, table: type[Base]) -> None:
        self._session = session
        self._table = table

    async def replace_all(self, rows: Iterable[Mapping[str, Any]]) -> None:
        await self._session.execute(delete(self._table))
        rest = iter(rows)
        while some := [dict(row) for row in islice(rest, ROWS_AT_A_TIME)]:
            await self._session.execute(insert(self._table), some)

    async def read_all(self) -> list[dict[str, Any]]:
        columns = inspect(self._table).columns
        return [dict(row) for row in (await self._session.execute(select(*columns))).mappings()]

    async def remove(self, key: str) -> None:
        """Remove the row with this key, if there is one."""
        (column,) = inspect(self._table).primary_key
        await self._session.execute(delete(self._table).where(column == key))
