# SPDX-License-Identifier: GPL-3.0-or-later
"""``occtl``: ocserv's control tool, with its words, outputs and exit codes, on this server's API."""
