# SPDX-License-Identifier: GPL-3.0-or-later
"""A table that is read as a whole and written by what changed: the saved engine state (``sentry_engine.engine``).

Each node of a fleet has its own rows.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from sqlalchemy import bindparam, delete, func, inspect, select, true

from admin_api.store.json_rows import ROWS, format_time, render_rows, unpack_rows
from admin_api.store.upsert import upsert

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Executable, Table
    from sqlalchemy.ext.asyncio import AsyncSession

    from admin_api.store.columns import Base

NODE = "node"  # the column, and the parameter of statements
ROWS_AT_A_TIME = 1_000  # rows of one statement


class RenderedRows(NamedTuple):
    """What changes of a table, as JSON for the database, which unpacks it. Empty: nothing."""

    put: str
    removed: str


def render_changes(table: type[Base], rows: Mapping[str, Mapping[str, Any] | None]) -> RenderedRows:
    """By key the row that a table is to have; ``None``: none. Needs no database, so any thread may call it."""
    names = _names(table)
    put = [[_render(row[name]) for name in names] for row in rows.values() if row is not None]
    removed = [[key] for key, row in rows.items() if row is None]
    return RenderedRows(render_rows(put) if put else "", render_rows(removed) if removed else "")


class TableSnapshot:
    """The rows of one node in one table, whose primary key is the node and one column."""

    def __init__(self, session: AsyncSession, table: type[Base], node: str) -> None:
        self._session = session
        self._table = table
        self._columns = inspect(table).columns
        self._key = self._columns[_key(table)]
        self._node = node

    async def replace_all(self, rows: Iterable[Mapping[str, Any]]) -> None:
        await self.remove_all()
        rest = iter(rows)
        while some := {row[self._key.name]: row for row in islice(rest, ROWS_AT_A_TIME)}:
            await self.change(render_changes(self._table, some))

    async def change(self, rows: RenderedRows) -> None:
        """Write and remove these rows, and no other."""
        dialect = (await self._session.connection()).dialect.name
        if rows.removed:
            await self._session.execute(_remove(self._table, dialect), {ROWS: rows.removed, NODE: self._node})
        if rows.put:
            await self._session.execute(_put(self._table, dialect), {ROWS: rows.put, NODE: self._node})

    async def read_all(self) -> list[dict[str, Any]]:
        wanted = [column for column in self._columns if column.name != NODE]
        query = select(*wanted).where(self._columns[NODE] == self._node)
        return [dict(row) for row in (await self._session.execute(query)).mappings()]

    async def keys_after(self, key: str, most: int) -> list[str]:
        """Up to ``most`` keys beyond ``key`` (empty: all), in the order of the database."""
        query = select(self._key).where(self._columns[NODE] == self._node, self._key > key).order_by(self._key)
        return list(await self._session.scalars(query.limit(most)))

    async def count(self) -> int:
        query = select(func.count()).where(self._columns[NODE] == self._node)
        return (await self._session.execute(query)).scalar_one()

    async def remove(self, key: str) -> None:
        """Remove the rows with this key, of all nodes."""
        await self._session.execute(delete(self._table).where(self._key == key))

    async def remove_all(self) -> None:
        await self._session.execute(delete(self._table).where(self._columns[NODE] == self._node))


def _render(value: object) -> object:
    return format_time(value) if isinstance(value, datetime) else value


@cache
def _names(table: type[Base]) -> tuple[str, ...]:
    return tuple(name for name in _core(table).c.keys() if name != NODE)  # noqa: SIM118 - a collection of columns


def _core(table: type[Base]) -> Table:
    return cast("Table", table.__table__)


def _key(table: type[Base]) -> str:
    (name,) = (column.name for column in _core(table).primary_key if column.name != NODE)
    return name


@cache
def _put(table: type[Base], dialect: str) -> Executable:
    core, names = _core(table), _names(table)
    rows, insert = unpack_rows(core, names, dialect), upsert(core, dialect)
    insert = insert.from_select([*names, NODE], select(rows, bindparam(NODE, type_=core.c[NODE].type)).where(true()))
    return insert.on_conflict_do_update(
        index_elements=[NODE, _key(table)],
        set_={name: insert.excluded[name] for name in names if name != _key(table)},
    )


@cache
def _remove(table: type[Base], dialect: str) -> Executable:
    core, key = _core(table), _key(table)
    removed = unpack_rows(core, (key,), dialect)
    return delete(core).where(core.c[NODE] == bindparam(NODE), core.c[key].in_(select(removed.c[key])))
