# SPDX-License-Identifier: GPL-3.0-or-later
"""``INSERT ... ON CONFLICT`` for both databases. Only the one in use loads its dialect: PostgreSQL's is large."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.dialects.sqlite import Insert


def upsert(table: Table, dialect: str) -> Insert:
    """Returns an insert into ``table`` that takes ``on_conflict_do_update``. ``dialect`` is a name of SQLAlchemy's.

    The insert of PostgreSQL has the same methods, as far as they are used here.
    """
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - see above

        return postgresql.insert(table)  # type: ignore[return-value]
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415 - see above

    return sqlite.insert(table)
