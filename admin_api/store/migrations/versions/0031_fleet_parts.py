# SPDX-License-Identifier: GPL-3.0-or-later
"""What lets a node of a fleet read some of its sessions. Databases of SQLite have none."""

from pathlib import Path

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        file = Path(__file__).parent.parent / "fleet" / "parts.sql"
        op.get_bind().exec_driver_sql(file.read_text())


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION fleet.own_part_v1")
        op.execute("CREATE INDEX sessions_node ON fleet.sessions (node)")
        op.execute("DROP INDEX fleet.sessions_node_id")
