# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged SQLite files: found before a server starts on one, and told with the file and the remedy."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from admin_api.store.failures import StoreDamagedError, describe_failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine

MAX_CHECKED = 256 * 1024 * 1024  # bytes of a file that is checked at each start, which takes about a second
DAMAGED = ("file is not a database", "database disk image is malformed", "malformed database schema")  # SQLite's words


@contextmanager
def damage_told(file: str | None) -> Iterator[None]:
    """Turns SQLite's errors about a damaged file into ``StoreDamagedError``."""
    try:
        yield
    except DatabaseError as error:
        words = describe_failure(error)
        if not words.startswith(DAMAGED):
            raise
        raise _damage(file, words) from error


async def check_file(engine: AsyncEngine, file: str | None) -> None:
    """Check the pages of an SQLite file of at most ``MAX_CHECKED`` bytes. Raises ``StoreDamagedError``."""
    if engine.dialect.name != "sqlite" or not file or await asyncio.to_thread(_size, file) > MAX_CHECKED:
        return
    async with engine.connect() as connection:
        found = await connection.scalar(text("PRAGMA quick_check(1)"))
    if found != "ok":
        raise _damage(file, " ".join(str(found).split()))


def _size(file: str) -> int:
    return Path(file).stat().st_size


def _damage(file: str | None, words: str) -> StoreDamagedError:
    remedy = f"restore a backup of it, or save what can be read with: sqlite3 {file} .recover | sqlite3 {file}.new"
    return StoreDamagedError(f"store.url: {file} is damaged ({words}): {remedy}")
