# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrades the schema to the newest version, on the store's own connection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from admin_api.store import migrations
from admin_api.store.failures import StoreNewerError

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.exc import DBAPIError


LOCK_WAIT = 200  # milliseconds; a login's statement gives up after 500
GIVEN_UP = ("55P03", "40P01")  # SQLSTATE: lock not available, deadlock detected


def upgrade(connection: Connection) -> str | None:
    """Run all pending migrations, in the open transaction of ``connection``.

    Returns the schema's revision before; ``None`` if the database had no schema. Raises ``StoreNewerError``, or the
    database's error: one that ``is_contended`` where others use the tables, which wait behind this transaction for as
    long as it waits.
    """
    before, known = _read_revision(connection), _revisions()
    if before == max(known):
        return before
    if before is not None and before not in known:
        raise StoreNewerError(
            f"store.url: {connection.engine.url.database} has the schema {before} of a later version; "
            f"this one knows those up to {max(known)}: install the later version, or restore a copy from before its "
            "first start"
        )
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_WAIT}"))
    from alembic import command  # noqa: PLC0415 - most starts find the newest schema: it takes long to import
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    # The installed package's folder: a wheel has no alembic.ini. Alembic expands % in options.
    config.set_main_option("script_location", next(iter(migrations.__path__)).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return before


def is_contended(error: DBAPIError) -> bool:
    """True if the same upgrade may succeed a moment later."""
    return "database is locked" in str(error.orig) or getattr(error.orig, "sqlstate", None) in GIVEN_UP


def newest_revision() -> str:
    """The name of the last migration, by the number that its file begins with."""
    return max(_revisions())


def _revisions() -> set[str]:
    files = Path(next(iter(migrations.__path__)), "versions").glob("[0-9]*_*.py")
    return {path.name.partition("_")[0] for path in files}


def _read_revision(connection: Connection) -> str | None:
    """The schema's own; ``None``: there is none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    return found[0] if len(found) == 1 else None
