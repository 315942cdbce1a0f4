# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies that are tried on some nodes of a fleet first. Databases of SQLite have none."""

from pathlib import Path

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        functions = Path(__file__).parent.parent / "fleet" / "canary.sql"
        op.get_bind().exec_driver_sql(functions.read_text())


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name in ("canary_nodes_v1", "canary_state_v1", "begin_canary_v1", "end_canary_v1"):
            op.execute(f"DROP FUNCTION fleet.{name}")
        op.execute("DROP TABLE fleet.canary_nodes, fleet.canaries")
