# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of the API: of a running server, and without one."""
