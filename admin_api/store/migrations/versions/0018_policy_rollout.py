# SPDX-License-Identifier: GPL-3.0-or-later
"""Proposals of the policy, which all nodes of a fleet acknowledge. Databases of SQLite have none."""

from pathlib import Path

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        functions = Path(__file__).parent.parent / "fleet" / "rollout.sql"
        op.get_bind().exec_driver_sql(functions.read_text())


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    answering = ("seal_policy_v1", "policy_answers_v1", "voters_v1")
    for name in (*answering, "release_policy_v1", "has_policy_turn_v1", "claim_policy_v1"):
        op.execute(f"DROP FUNCTION fleet.{name}")
    op.execute("DROP TABLE fleet.node_policies, fleet.policy_turn")
    op.execute("ALTER TABLE fleet.policy_versions DROP COLUMN revision, DROP COLUMN reason")
    op.execute("ALTER TABLE fleet.policy_versions ALTER COLUMN version DROP DEFAULT, ALTER COLUMN digest DROP DEFAULT")
    op.execute("DROP SEQUENCE fleet.policy_proposals")
