# SPDX-License-Identifier: GPL-3.0-or-later
"""The claim of one running server on a PostgreSQL database: a session-level advisory lock on a connection of its own.

Two servers on one database would end each other's sessions in the accounting. The nodes of a fleet know whose sessions
are whose: they share the lock, and with no other server. PostgreSQL releases it when the connection ends, however it
ends. For SQLite files see ``ocsentry.privileges.instance_lock``. The command line needs no claim.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from admin_api.store.failures import StoreInUseError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

KEY = int.from_bytes(b"ocsentry", "big")  # of the lock, in the database's own namespace
PATIENCE = 0.5  # seconds: the database notices a moment later that a server has ended, and the next one is starting
PAUSE = 0.02  # seconds between two attempts
TRY_LOCK = text("SELECT pg_try_advisory_lock(:key)")
TRY_SHARED = text("SELECT pg_try_advisory_lock_shared(:key)")
HOLDER = text(
    "SELECT activity.pid, COALESCE(host(activity.client_addr), 'this host') FROM pg_locks AS locks"
    " JOIN pg_stat_activity AS activity ON activity.pid = locks.pid"
    " WHERE locks.locktype = 'advisory' AND locks.granted AND locks.objsubid = 1"
    " AND (locks.classid::bigint << 32 | locks.objid::bigint) = :key"
    " AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class ServerClaim:
    """Take it before the first row is read or written; ``renew`` it every few seconds."""

    def __init__(self, engine: AsyncEngine, *, shared: bool = False) -> None:
        """``shared``: with the other nodes of a fleet, and with no server outside of it."""
        self._engine = engine
        self._lock = TRY_SHARED if shared else TRY_LOCK
        self._connection: AsyncConnection | None = None

    async def take(self) -> None:
        """Raises ``StoreInUseError`` if another server holds the lock, and goes on holding it for ``PATIENCE``."""
        if self._engine.dialect.name != "postgresql":
            return
        connection = await self._engine.connect()
        deadline = asyncio.get_running_loop().time() + PATIENCE
        try:
            while (holder := await self._try(connection)) is not None:
                if asyncio.get_running_loop().time() > deadline:
                    break
                await asyncio.sleep(PAUSE)
        except BaseException:
            await connection.close()
            raise
        if holder is not None:
            await connection.close()
            raise StoreInUseError(holder)
        self._connection = connection

    async def _try(self, connection: AsyncConnection) -> str | None:
        """``None``: the lock is ours. Otherwise who holds it."""
        async with connection.begin():
            held = await connection.scalar(self._lock, {"key": KEY})
            return None if held else await _describe_holder(connection)

    async def renew(self) -> None:
        """Look that the connection with the lock is there, and take the lock again if it is not. Raises as ``take``."""
        connection = self._connection
        if connection is not None:
            try:
                async with connection.begin():
                    await connection.execute(text("SELECT 1"))
            except DBAPIError:
                await self.release()
            else:
                return
        await self.take()

    async def release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(DBAPIError):
                await connection.invalidate()  # ends it: the pool would keep it, and the lock with it
                await connection.close()


async def _describe_holder(connection: AsyncConnection) -> str:
    holder = (await connection.execute(HOLDER, {"key": KEY})).first()
    who = f"PostgreSQL's process {holder[0]}, from {holder[1]}" if holder else "which has just ended"
    return f"store.url: another server uses this database ({who}); stop it, or give this server a database of its own"
