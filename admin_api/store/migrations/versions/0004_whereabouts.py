# SPDX-License-Identifier: GPL-3.0-or-later
"""The countries that users logged in from, so that no country counts as new after a restart."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "whereabouts",
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("countries", sa.JSON(), nullable=False),
        sa.Column("place", sa.JSON(), nullable=True),
        sa.Column("seen_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("user", name=op.f("pk_whereabouts")),
    )


def downgrade() -> None:
    op.drop_table("whereabouts")
