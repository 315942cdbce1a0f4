# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters of the traffic over DTLS. Existing sessions get zero."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = ("dtls_rx_packets", "dtls_rx_bytes", "dtls_tx_packets", "dtls_tx_bytes")


def upgrade() -> None:
    with op.batch_alter_table("sessions") as batch:
        for name in COLUMNS:
            batch.add_column(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("sessions") as batch:
        for name in COLUMNS:
            batch.drop_column(name)
