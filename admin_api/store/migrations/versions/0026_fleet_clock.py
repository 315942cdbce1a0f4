# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments of a fleet that lie ahead once the clock of its database has gone back. Databases of SQLite have none."""

from pathlib import Path

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

FUNCTIONS = ("sweep_sessions_v2", "pull_back_v1")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        file = Path(__file__).parent.parent / "fleet" / "clock.sql"
        op.get_bind().exec_driver_sql(file.read_text())


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name in FUNCTIONS:
            op.execute(f"DROP FUNCTION fleet.{name}")
