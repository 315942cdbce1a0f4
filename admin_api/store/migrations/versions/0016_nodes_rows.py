# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose rows they are: nodes of a fleet keep sessions and the engine's state beside each other. Empty: no fleet."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

STATE = {"penalties": "network", "sources": "network", "whereabouts": "user"}  # tables by their key so far


def upgrade() -> None:
    op.add_column("sessions", sa.Column("node", sa.String(), nullable=False, server_default=""))
    for table, key in STATE.items():
        with op.batch_alter_table(table) as batch:
            batch.add_column(sa.Column("node", sa.String(), nullable=False, server_default=""))
            batch.drop_constraint(f"pk_{table}", type_="primary")
            batch.create_primary_key(f"pk_{table}", ["node", key])
    if op.get_bind().dialect.name == "postgresql":
        functions = Path(__file__).parent.parent / "fleet" / "nodes.sql"
        op.get_bind().exec_driver_sql(functions.read_text())


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION fleet.forget_v1")
    for table, key in STATE.items():
        op.execute(f"DELETE FROM {table} WHERE node <> ''")  # noqa: S608 - names of this module
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(f"pk_{table}", type_="primary")
            batch.create_primary_key(f"pk_{table}", [key])
            batch.drop_column("node")
    with op.batch_alter_table("sessions") as batch:
        batch.drop_column("node")
