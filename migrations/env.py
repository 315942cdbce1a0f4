# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the versions on the connection that ``admin_api.store.schema`` hands over; there is no other way to run them.

``render_as_batch``: SQLite cannot alter most of a table, so Alembic copies it. ``transactional_ddl``: SQLite's DDL is
transactional, and an upgrade that fails half-way must leave the schema as it was.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
