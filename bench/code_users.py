# SPDX-License-Identifier: GPL-3.0-or-later
"""Users with one-time codes in a server's database, thousands within a second: copies of one user, with one secret."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from admin_api.second_factors.secret_box import SecretBox
from ocsentry.configuration.key_file import make_key

if TYPE_CHECKING:
    from pathlib import Path

SECRET = b"12345678901234567890"  # as in bench/load/totp.c


def enrol_copies(folder: Path, user: str, count: int) -> None:
    """Copies ``user`` to ``user0`` and so on, each enrolled. ``folder`` is one that servers are started from."""
    box = SecretBox(make_key(folder / "totp.key"))
    names = [f"{user}{number}" for number in range(count)]
    with closing(sqlite3.connect(folder / "ocsentry.db", timeout=30)) as database, database:
        columns = [
            row[1] for row in database.execute("PRAGMA table_info(users)") if row[1] not in ("id", "key", "name")
        ]
        kept = ", ".join(columns)
        database.executemany(
            f"INSERT OR IGNORE INTO users (key, name, {kept}) SELECT ?, ?, {kept} FROM users WHERE key = ?",
            [(name, name, user) for name in names],
        )
        now = datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" ")
        database.executemany(
            "INSERT OR REPLACE INTO totp (user_id, sealed_secret, created_at, confirmed_at, last_step) "
            "SELECT id, ?, ?, ?, 0 FROM users WHERE key = ?",
            [(box.seal(SECRET, name), now, now, name) for name in names],
        )
