# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of users of a one-time password file that are used up."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "otp_uses",
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("last_login", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("user", name=op.f("pk_otp_uses")),
    )


def downgrade() -> None:
    op.drop_table("otp_uses")
