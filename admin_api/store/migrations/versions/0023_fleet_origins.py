# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of a fleet name the process that has made them. Databases of SQLite have none."""

from pathlib import Path

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        file = Path(__file__).parent.parent / "fleet" / "origins.sql"
        op.get_bind().exec_driver_sql(file.read_text())


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION fleet.read_log_v1")
        op.execute("DROP FUNCTION fleet.publish_v2")
        op.execute("ALTER TABLE fleet.log DROP COLUMN origin")
