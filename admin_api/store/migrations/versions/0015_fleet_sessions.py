# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions of the fleet's sessions and addresses. Databases of SQLite have none."""

from pathlib import Path

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

FILES = ("admission.sql", "addresses.sql")  # in the folder ``fleet`` beside ``versions``, in this order
FUNCTIONS = (
    "admit", "release", "void", "claim", "is_let_go", "lose", "reassert", "sweep_sessions", "open_orders",
    "orders_done", "is_current", "contest", "is_contested", "lend", "lend_one", "give_back", "lent", "short_pools",
)  # fmt: skip


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    folder = Path(__file__).parent.parent / "fleet"
    for name in FILES:
        op.get_bind().exec_driver_sql((folder / name).read_text())


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for name in FUNCTIONS:
        op.execute(f"DROP FUNCTION fleet.{name}_v1")
    op.execute("DROP INDEX fleet.orders_session")
    op.execute("DROP TABLE fleet.pools")
    op.execute("ALTER TABLE fleet.address_blocks DROP COLUMN freed_at")
    for column in ("void", "ghost", "logged_in_at", "cookie_timeout"):
        op.execute(f"ALTER TABLE fleet.sessions DROP COLUMN {column}")
