# SPDX-License-Identifier: GPL-3.0-or-later
"""An aiosqlite connection that runs a whole statement as one call of its thread.

aiosqlite makes a call for the cursor, for the statement, for its rows and for the cursor's end. Each call costs two
wake-ups and up to two waits for the interpreter lock (5 ms each while the event loop is busy). Here a read costs one
call: BEGIN goes with the first statement, its rows come back with it, and the end of a transaction that only read
needs no call. All rows of a statement are in memory, as SQLAlchemy keeps them anyway.
"""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aiosqlite import Connection

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

READ = "BEGIN"  # takes no lock: it may wait for the first statement
CHUNK = 64  # rows at a time of an iteration that SQLAlchemy does not use


class SqliteConnection(Connection):
    """A connection for SQLAlchemy's ``aiosqlite`` dialect: see ``connect``."""

    _begins = False  # BEGIN is due with the next statement
    _only_reads = False  # the open transaction began by READ
    _asked = 0  # calls of the thread; counted by the event loop only
    _answered = 0  # of them; counted by the thread only

    def __await__(self) -> Generator[Any, None, SqliteConnection]:
        """Raises ``sqlite3.OperationalError`` also if no thread starts: the database may work again later."""
        try:
            return super().__await__()  # type: ignore[return-value] # itself
        except RuntimeError as error:
            raise sqlite3.OperationalError("no thread can be started for a connection") from error

    def cursor(self) -> StatementCursor:  # type: ignore[override] # SQLAlchemy enters it, as it does aiosqlite's
        return StatementCursor(self)

    async def run_statement(self, cursor: StatementCursor, sql: str, parameters: Any, *, many: bool) -> None:  # noqa: ANN401
        """Run a statement and keep its rows in ``cursor``."""
        if sql == READ:
            self._begins = True
            return
        begins, self._begins = self._begins, False
        self._only_reads = begins or (self._only_reads and not sql.startswith(READ))
        await self._execute(self._run, cursor, sql, parameters, begins=begins, many=many)

    async def rollback(self) -> None:
        self._begins = False
        if self._asked != self._answered or (not self._only_reads and self._conn.in_transaction):
            await super().rollback()
        else:
            self._conn.rollback()  # of a view, or of nothing: no write, no wait
        self._only_reads = False

    async def commit(self) -> None:
        self._begins = self._only_reads = False
        await super().commit()

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - aiosqlite's own signature
        self._asked += 1
        return await super()._execute(partial(self._call, fn), *args, **kwargs)  # type: ignore[no-untyped-call]

    def _call(self, fn: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        try:
            return fn(*args, **kwargs)
        finally:
            self._answered += 1

    def _run(self, cursor: StatementCursor, sql: str, parameters: Any, *, begins: bool, many: bool) -> None:  # noqa: ANN401
        if begins:
            self._conn.execute(READ)
        inner = self._conn.executemany(sql, parameters) if many else self._conn.execute(sql, parameters)
        cursor.keep(inner)


class StatementCursor:
    """One statement's description, counts and rows. Needs no close: the statement has ended."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Sequence[Any] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    def keep(self, inner: sqlite3.Cursor) -> None:
        """Read all rows of ``inner`` and close it. Called on the connection's thread."""
        self.description, self.lastrowid = inner.description, inner.lastrowid
        self._rows = inner.fetchall() if inner.description else []
        self.rowcount = inner.rowcount
        inner.close()

    async def execute(self, sql: str, parameters: Iterable[Any] = ()) -> Self:
        await self._connection.run_statement(self, sql, parameters, many=False)
        return self

    async def executemany(self, sql: str, parameters: Iterable[Iterable[Any]]) -> Self:
        await self._connection.run_statement(self, sql, parameters, many=True)
        return self

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        count = self.arraysize if size is None else size
        rows, self._rows = self._rows[:count], self._rows[count:]
        return rows

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        self._rows = []


def connect(database: str | Path, **how: Any) -> SqliteConnection:  # noqa: ANN401 - of sqlite3.connect
    """Returns a connection that opens when it is awaited; the ``async_creator_fn`` of SQLAlchemy's engine."""
    connection = SqliteConnection(partial(sqlite3.connect, database, **how), CHUNK)
    connection._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy does: an exit does not wait for it
    return connection
