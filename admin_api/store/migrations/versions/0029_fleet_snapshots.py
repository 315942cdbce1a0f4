# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns of the nodes of a fleet to read its whole state. Databases of SQLite have none."""

from pathlib import Path

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        file = Path(__file__).parent.parent / "fleet" / "snapshots.sql"
        op.get_bind().exec_driver_sql(file.read_text())


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION fleet.take_snapshot_turn_v1, fleet.give_back_snapshot_v1")
        op.execute("DROP TABLE fleet.snapshot_turns")
