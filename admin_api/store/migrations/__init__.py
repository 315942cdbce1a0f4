# SPDX-License-Identifier: GPL-3.0-or-later
"""The Alembic environment and the migrations. The program ships them and upgrades its own store."""
