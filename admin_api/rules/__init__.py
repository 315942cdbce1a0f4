# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules: those made here beside those of the rule files."""
