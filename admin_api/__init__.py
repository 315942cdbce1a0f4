# SPDX-License-Identifier: GPL-3.0-or-later
"""The administration API: a FastAPI application on a SQL store, with the enforcement of policy changes."""
