# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes of a fleet that a restored database cannot take for others. Databases of SQLite have none."""

from pathlib import Path

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

FUNCTIONS = ("seal_policy_v2", "policy_answers_v2", "beat_v2", "join_v2")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        file = Path(__file__).parent.parent / "fleet" / "incarnations.sql"
        op.get_bind().exec_driver_sql(file.read_text())


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name in FUNCTIONS:
            op.execute(f"DROP FUNCTION fleet.{name}")
        op.execute("ALTER TABLE fleet.policy_acks DROP COLUMN epoch")
