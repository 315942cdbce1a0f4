# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks, rules, penalties and the saved engine state in the store."""
