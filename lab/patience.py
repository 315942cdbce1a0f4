# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a test waits for what must come: a guard against hanging, which costs nothing where it comes."""

PATIENCE = 240.0  # seconds; starting a Python program took 10 on a machine that five others crowded
