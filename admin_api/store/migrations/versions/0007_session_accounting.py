# SPDX-License-Identifier: GPL-3.0-or-later
"""The sessions that accounting servers still have to be told of."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "session_accounting",
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("classes", sa.JSON(), nullable=False),
        sa.Column("by_radius", sa.Boolean(), nullable=False),
        sa.Column("interim", sa.Integer(), nullable=False),
        sa.Column("start_told", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_session_accounting")),
    )


def downgrade() -> None:
    op.drop_table("session_accounting")
