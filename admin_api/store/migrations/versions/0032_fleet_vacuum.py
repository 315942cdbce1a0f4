# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of a fleet whose rows come and go are cleaned once 2 % of them are dead. Databases of SQLite have none.

PostgreSQL's own 20 % are 200 000 dead rows of a million sessions, in each of five indexes, which logins read past.
"""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

TABLES = ("sessions", "logins", "orders", "log")  # fleet.users has been so from the first


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(f"ALTER TABLE fleet.{table} SET (autovacuum_vacuum_scale_factor = 0.02)")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(f"ALTER TABLE fleet.{table} RESET (autovacuum_vacuum_scale_factor)")
