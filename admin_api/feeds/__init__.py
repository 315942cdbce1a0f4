# SPDX-License-Identifier: GPL-3.0-or-later
"""Feeds: block lists that the rule files name."""
