# SPDX-License-Identifier: GPL-3.0-or-later
"""The admin API and its console in the running server."""
