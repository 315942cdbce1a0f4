# SPDX-License-Identifier: GPL-3.0-or-later
"""Which node of a fleet delivers an event to a webhook: the one that has queued it. Empty: no fleet."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("webhook_deliveries", sa.Column("node", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("webhook_deliveries") as batch:
        batch.drop_column("node")
