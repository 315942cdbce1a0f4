# SPDX-License-Identifier: GPL-3.0-or-later
"""A table of sources with strikes and windows, penalised or not. Penalties lose their own strikes column."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sources",
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("strikes", sa.Integer(), nullable=False),
        sa.Column("forgotten_at", sa.Double(), nullable=True),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("network", name=op.f("pk_sources")),
    )
    with op.batch_alter_table("penalties") as batch:
        batch.drop_column("strikes")


def downgrade() -> None:
    with op.batch_alter_table("penalties") as batch:
        batch.add_column(sa.Column("strikes", sa.Integer(), nullable=False, server_default="1"))
    op.drop_table("sources")
