# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrades the schema to the newest version, on the store's own connection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from admin_api.store import migrations

if TYPE_CHECKING:
    from sqlalchemy import Connection


def upgrade(connection: Connection) -> str | None:
    """Run all pending migrations, in the open transaction of ``connection``.

    Returns the schema's revision before; ``None`` if the database had no schema.
    """
    before = _read_revision(connection)
    if before == newest_revision():
        return before
    from alembic import command  # noqa: PLC0415 - most starts find the newest schema: it takes long to import
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    # The installed package's folder: a wheel has no alembic.ini. Alembic expands % in options.
    config.set_main_option("script_location", next(iter(migrations.__path__)).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return before


def newest_revision() -> str:
    """The name of the last migration, by the number that its file begins with."""
    files = Path(next(iter(migrations.__path__)), "versions").glob("[0-9]*_*.py")
    return max(path.name.partition("_")[0] for path in files)


def _read_revision(connection: Connection) -> str | None:
    """The schema's own; ``None``: there is none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    return found[0] if len(found) == 1 else None
