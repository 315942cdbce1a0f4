# SPDX-License-Identifier: GPL-3.0-or-later
"""Revisions of the policy, with what each changed."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "policy_revisions",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("rules", sa.Integer(), nullable=False),
        sa.Column("confirm_by", sa.DateTime(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_policy_revisions")),
    )
    op.create_table(
        "policy_changes",
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("before", sa.LargeBinary(32), nullable=True),
        sa.Column("after", sa.LargeBinary(32), nullable=True),
        sa.ForeignKeyConstraint(
            ["revision"], ["policy_revisions.number"], name=op.f("fk_policy_changes_revision"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("revision", "source", "name", name=op.f("pk_policy_changes")),
    )
    op.create_table(
        "policy_contents",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_policy_contents")),
    )
    op.create_table(
        "policy_files",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=True),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("rejected", sa.LargeBinary(32), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_policy_files")),
    )


def downgrade() -> None:
    op.drop_table("policy_files")
    op.drop_table("policy_contents")
    op.drop_table("policy_changes")
    op.drop_table("policy_revisions")
