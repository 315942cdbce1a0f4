# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema ``fleet``: what nodes on one PostgreSQL database share. Databases of SQLite have none.

Its functions carry their version in their names and are never altered in place: nodes of two releases run side by side.
"""

from pathlib import Path

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

FILES = ("tables.sql", "membership.sql", "changes.sql")  # in the folder ``fleet`` beside ``versions``, in this order


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    folder = Path(__file__).parent.parent / "fleet"
    for name in FILES:
        op.get_bind().exec_driver_sql((folder / name).read_text())


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP SCHEMA fleet CASCADE")
