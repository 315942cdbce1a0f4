# SPDX-License-Identifier: GPL-3.0-or-later
"""The Alembic environment and the versions of the schema, shipped with the program, which upgrades its own store."""
