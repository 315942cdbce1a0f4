# SPDX-License-Identifier: GPL-3.0-or-later
"""Sweeps of a fleet's sessions that read few rows, whatever their number. Databases of SQLite have none."""

from pathlib import Path

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

FUNCTIONS = ("end_unheard_v1", "sweep_sessions_v3", "pull_back_v2", "silent_nodes_v1")
INDEXES = ("sessions_lost_at", "sessions_void", "orders_done_at")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        file = Path(__file__).parent.parent / "fleet" / "sweep.sql"
        op.get_bind().exec_driver_sql(file.read_text())


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name in FUNCTIONS:
            op.execute(f"DROP FUNCTION fleet.{name}")
        for name in INDEXES:
            op.execute(f"DROP INDEX fleet.{name}")
