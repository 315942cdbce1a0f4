# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to SQLite and PostgreSQL: hosts, waits, and the claim of one server."""
