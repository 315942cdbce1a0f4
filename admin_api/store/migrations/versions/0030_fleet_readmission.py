# SPDX-License-Identifier: GPL-3.0-or-later
"""Admission of several sessions of a node in one call. Databases of SQLite have none."""

from pathlib import Path

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        file = Path(__file__).parent.parent / "fleet" / "readmission.sql"
        op.get_bind().exec_driver_sql(file.read_text())


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION fleet.admit_several_v1")
