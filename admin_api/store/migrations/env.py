# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the migrations, only ever on the connection that ``admin_api.store.schema`` passes.

``render_as_batch``: SQLite cannot alter most of a table, so Alembic copies it. ``transactional_ddl``: DDL of SQLite is
transactional, so a failed upgrade leaves the schema unchanged.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
