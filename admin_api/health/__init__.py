# SPDX-License-Identifier: GPL-3.0-or-later
"""Health, readiness, status and metrics of the server."""
