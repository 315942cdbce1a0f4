# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns of transactions that must not run at once, by a transaction-level advisory lock of PostgreSQL.

SQLite needs none: it has one writer at a time. The lock ends with the transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

SCHEMA = int.from_bytes(b"ocschema", "big")  # keys in the database's own namespace, as that of ``server_claim``
AUDIT = int.from_bytes(b"ocsaudit", "big")
WAIT_FOR_TURN = text("SELECT pg_advisory_xact_lock(:key)")


async def take_turn(where: AsyncConnection | AsyncSession, key: int) -> None:
    """Wait until no other transaction has the turn of ``key``."""
    bind = where.sync_connection if hasattr(where, "sync_connection") else where.get_bind()
    if bind is not None and bind.dialect.name == "postgresql":
        await where.execute(WAIT_FOR_TURN, {"key": key})
