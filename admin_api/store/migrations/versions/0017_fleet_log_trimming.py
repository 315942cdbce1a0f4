# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions that trim the log of changes. Databases of SQLite have no such log."""

from pathlib import Path

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        functions = Path(__file__).parent.parent / "fleet" / "trimming.sql"
        op.get_bind().exec_driver_sql(functions.read_text())


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION fleet.raise_floor_v1")
        op.execute("DROP FUNCTION fleet.trim_log_v2")
