# SPDX-License-Identifier: GPL-3.0-or-later
"""A function by which nodes share the sources with many events. Databases of SQLite have none."""

from pathlib import Path

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        functions = Path(__file__).parent.parent / "fleet" / "heavy.sql"
        op.get_bind().exec_driver_sql(functions.read_text())


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION fleet.share_heavy_v1")
