# SPDX-License-Identifier: GPL-3.0-or-later
"""A table that is replaced and read as a whole: the saved engine state (``sentry_engine.engine.saved_state``).

Each node of a fleet has its own rows.
"""

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
    """The rows of one node in one table, whose primary key is the node and one column."""

    def __init__(self, session: AsyncSession, table: type[Base], node: str) -> None:
        self._session = session
        self._table = table
        self._columns = inspect(table).columns
        self._node = node

    async def replace_all(self, rows: Iterable[Mapping[str, Any]]) -> None:
        await self._session.execute(delete(self._table).where(self._columns["node"] == self._node))
        rest = iter(rows)
        while some := [{**row, "node": self._node} for row in islice(rest, ROWS_AT_A_TIME)]:
            await self._session.execute(insert(self._table), some)

    async def read_all(self) -> list[dict[str, Any]]:
        wanted = [column for column in self._columns if column.name != "node"]
        query = select(*wanted).where(self._columns["node"] == self._node)
        return [dict(row) for row in (await self._session.execute(query)).mappings()]

    async def remove(self, key: str) -> None:
        """Remove the rows with this key, of all nodes."""
        (column,) = (one for one in inspect(self._table).primary_key if one.name != "node")
        await self._session.execute(delete(self._table).where(column == key))
