# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes: child programs, what they use, what slows or halts them."""
