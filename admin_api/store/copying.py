# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies every row of one database to another, empty one: from SQLite to PostgreSQL, or back.

The rows are read in one view and written in one transaction: the target has all of them or none. No server may use
either database meanwhile, since the source's later changes would be missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, func, insert, select, text, tuple_

from admin_api.store.columns import Base
from admin_api.store.database import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from sqlalchemy import Row, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

BATCH = 1000  # rows of one statement
NEXT_NUMBER = text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)")


class CopyError(Exception):
    """Nothing was copied. The text says why."""


async def copy_store(source: Store, target: Store, copied: Callable[[int], None]) -> Mapping[str, int]:
    """Returns the number of rows by table. ``copied`` is told how many rows were written since its last call.

    Both are open for serving, and so have the newest schema. Raises ``CopyError`` if the target has rows.
    """
    counts: dict[str, int] = {}
    async with source.connected() as reading, target.connected(writes=True) as writing:
        for table in Base.metadata.sorted_tables:
            if await writing.scalar(select(func.count()).select_from(table)):
                raise CopyError(f"the target's table {table.name} has rows already")
        for table in Base.metadata.sorted_tables:
            counts[table.name] = 0
            async for rows in _batches(reading, table):
                await writing.execute(insert(table), [dict(row._mapping) for row in rows])  # noqa: SLF001 - documented
                counts[table.name] += len(rows)
                copied(len(rows))
            await _continue_numbers(writing, table)
        for name, count in counts.items():
            found = await writing.scalar(select(func.count()).select_from(Base.metadata.tables[name]))
            if found != count:
                raise CopyError(f"the target's table {name} has {found} rows of {count}")
    return counts


async def count_rows(store: Store) -> int:
    async with store.connected() as connection:
        counts = [
            await connection.scalar(select(func.count()).select_from(table)) for table in Base.metadata.sorted_tables
        ]
    return sum(count or 0 for count in counts)


async def _batches(connection: AsyncConnection, table: Table) -> AsyncIterator[list[Row[Any]]]:
    """Yields all rows in the order of the primary key, some at a time."""
    key = list(table.primary_key.columns)
    query = select(table).order_by(*key).limit(BATCH)
    rows = (await connection.execute(query)).all()
    while rows:
        yield list(rows)
        last = rows[-1]._mapping  # noqa: SLF001 - documented
        rows = (await connection.execute(query.where(tuple_(*key) > tuple_(*(last[column] for column in key))))).all()


async def _continue_numbers(connection: AsyncConnection, table: Table) -> None:
    """Make PostgreSQL number further rows after the copied ones, which have their numbers already."""
    column = table.autoincrement_column
    if connection.dialect.name != "postgresql" or column is None or not isinstance(column.type, Integer):
        return
    if last := await connection.scalar(select(func.max(column))):
        await connection.execute(NEXT_NUMBER, {"table": table.name, "column": column.name, "last": last})
