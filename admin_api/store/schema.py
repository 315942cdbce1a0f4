# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings the schema of a store up to the newest version, on the store's own connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config

import migrations

if TYPE_CHECKING:
    from sqlalchemy import Connection


def upgrade(connection: Connection) -> None:
    """Run every version that the database has not seen, in the transaction that ``connection`` is in."""
    config = Config()
    # The folder of the installed package: a wheel has no alembic.ini beside it. Alembic expands % in options.
    config.set_main_option("script_location", next(iter(migrations.__path__)).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
