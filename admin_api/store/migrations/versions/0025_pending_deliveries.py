# SPDX-License-Identifier: GPL-3.0-or-later
"""An index of the deliveries that wait, by node: a fleet looks every few seconds for what lost nodes have left.

The table is short: of each webhook the waiting deliveries and the latest ended ones are kept.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

NAME, TABLE = "ix_webhook_deliveries_pending", "webhook_deliveries"
PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    op.create_index(NAME, TABLE, ["node", "id"], sqlite_where=PENDING, postgresql_where=PENDING)


def downgrade() -> None:
    op.drop_index(NAME, TABLE)
