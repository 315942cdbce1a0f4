# SPDX-License-Identifier: GPL-3.0-or-later
"""A table that is read as a whole and written by what changed: the saved engine state (``sentry_engine.engine``).

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

ROWS_AT_A_TIME = 1_000  # rows of one statement; preparing an insert takes the event loop about 10 ms


class TableSnapshot:
    """The rows of one node in one table, whose primary key is the node and one column."""

    def __init__(self, session: AsyncSession, table: type[Base], node: str) -> None:
        self._session = session
        self._table = table
        self._columns = inspect(table).columns
        (self._key,) = (column for column in inspect(table).primary_key if column.name != "node")
        self._node = node

    async def replace_all(self, rows: Iterable[Mapping[str, Any]]) -> None:
        await self._session.execute(delete(self._table).where(self._columns["node"] == self._node))
        await self._insert(rows)

    async def change(self, rows: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Replace the rows of these keys; ``None`` removes one. Writes no other row."""
        keys = iter(rows)
        while some := list(islice(keys, ROWS_AT_A_TIME)):
            mine = self._columns["node"] == self._node, self._key.in_(some)
            await self._session.execute(delete(self._table).where(*mine))
        await self._insert(row for row in rows.values() if row is not None)

    async def _insert(self, rows: Iterable[Mapping[str, Any]]) -> None:
        rest = iter(rows)
        while some := [{**row, "node": self._node} for row in islice(rest, ROWS_AT_A_TIME)]:
            await self._session.execute(insert(self._table), some)

    async def read_all(self) -> list[dict[str, Any]]:
        wanted = [column for column in self._columns if column.name != "node"]
        query = select(*wanted).where(self._columns["node"] == self._node)
        return [dict(row) for row in (await self._session.execute(query)).mappings()]

    async def remove(self, key: str) -> None:
        """Remove the rows with this key, of all nodes."""
        await self._session.execute(delete(self._table).where(self._key == key))
