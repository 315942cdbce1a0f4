# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of blocks. What is in force is in memory (``enforcement.block_table``); a start restores it from here."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

from sqlalchemy import delete, select, true

from admin_api.store.json_rows import ROWS, format_time, render_rows, unpack_rows
from admin_api.store.tables import Block
from admin_api.store.upsert import upsert

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import Executable, Row, Table
    from sqlalchemy.ext.asyncio import AsyncSession

TABLE = cast("Table", Block.__table__)
COLUMNS = tuple(column.name for column in TABLE.c)
CHANGING = ("reason", "expires_at")  # of a block that is extended
STEP = 5_000  # rows read at a time
MAX_IDS = 1000  # in one statement; SQLite takes 32 766 parameters


class BlockRow(Protocol):
    """The values of a row, by its columns."""

    @property
    def id(self) -> str: ...
    @property
    def cidr(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def created_by(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def expires_at(self) -> datetime | None: ...


class BlockRepository:
    """Writes, reads and removes rows."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def put(self, rows: Sequence[BlockRow]) -> None:
        """Insert rows, or update those that exist."""
        if rows:
            connection = await self._session.connection()
            text = render_rows(map(_as_values, rows))
            await connection.execute(_insert_or_update(connection.dialect.name), {ROWS: text})

    async def read_all(self) -> Sequence[Block]:
        return (await self._session.scalars(select(Block).order_by(Block.id))).all()

    async def of_networks(self, cidrs: Sequence[str]) -> list[Row[Any]]:
        """Returns the rows of exactly these networks, as tuples of ``COLUMNS``."""
        columns = [getattr(Block, name) for name in COLUMNS]
        found: list[Row[Any]] = []
        for start in range(0, len(cidrs), MAX_IDS):
            query = select(*columns).where(Block.cidr.in_(cidrs[start : start + MAX_IDS]))
            found += (await self._session.execute(query)).all()
        return found

    async def read_in_steps(self) -> AsyncIterator[Sequence[Row[Any]]]:
        """Yields all rows in the order of their ids, as tuples of ``COLUMNS``, without holding all of them."""
        columns = [getattr(Block, name) for name in COLUMNS]
        last = ""
        while True:
            query = select(*columns).where(Block.id > last).order_by(Block.id).limit(STEP)
            rows = (await self._session.execute(query)).all()
            if rows:
                yield rows
                last = rows[-1].id
            if len(rows) < STEP:
                return

    async def remove(self, ids: Sequence[str]) -> None:
        """Remove rows by id. Ids without a row are skipped."""
        for start in range(0, len(ids), MAX_IDS):
            await self._session.execute(delete(Block).where(Block.id.in_(ids[start : start + MAX_IDS])))


@cache
def _insert_or_update(dialect: str) -> Executable:
    rows = unpack_rows(TABLE, COLUMNS, dialect)
    insert = upsert(TABLE, dialect)
    insert = insert.from_select(list(rows.c.keys()), select(rows).where(true()))
    changed = {name: insert.excluded[name] for name in CHANGING}
    return insert.on_conflict_do_update(index_elements=[TABLE.c.id], set_=changed)


def _as_values(row: BlockRow) -> list[object]:
    values = (getattr(row, name) for name in COLUMNS)
    return [format_time(value) if isinstance(value, datetime) else value for value in values]
