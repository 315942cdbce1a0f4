# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrades the schema to the newest version, on the store's own connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config

from admin_api.store import migrations

if TYPE_CHECKING:
    from sqlalchemy import Connection


def upgrade(connection: Connection) -> None:
    """Run all pending migrations, in the open transaction of ``connection``."""
    config = Config()
    # The installed package's folder: a wheel has no alembic.ini. Alembic expands % in options.
    config.set_main_option("script_location", next(iter(migrations.__path__)).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
