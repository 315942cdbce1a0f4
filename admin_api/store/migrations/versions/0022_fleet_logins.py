# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins of a fleet whose tunnels may open at any node. Databases of SQLite have none."""

from pathlib import Path

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

FUNCTIONS = ("keep_login_v1", "end_v1", "log_out_v1", "admit_v2", "claim_v2", "sweep_logins_v1")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        file = Path(__file__).parent.parent / "fleet" / "logins.sql"
        op.get_bind().exec_driver_sql(file.read_text())


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name in FUNCTIONS:
            op.execute(f"DROP FUNCTION fleet.{name}")
        op.execute("DROP TABLE fleet.logins")
