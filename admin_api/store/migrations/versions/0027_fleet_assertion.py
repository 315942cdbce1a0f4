# SPDX-License-Identifier: GPL-3.0-or-later
"""The return of a node of a fleet with many sessions, in parts. Databases of SQLite have none."""

from pathlib import Path

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

FUNCTIONS = ("asserted_v1", "reassert_v2")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        file = Path(__file__).parent.parent / "fleet" / "assertion.sql"
        op.get_bind().exec_driver_sql(file.read_text())


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name in FUNCTIONS:
            op.execute(f"DROP FUNCTION fleet.{name}")
