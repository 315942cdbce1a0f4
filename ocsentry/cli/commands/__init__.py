# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands, one module per group. app.py lists them; what they share stands beside it."""
