# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules: those made over the API and those of the rule files."""
