# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a test waits for what must come: a guard against hanging, of no account where it comes."""

PATIENCE = 30.0  # seconds, on however busy a machine
