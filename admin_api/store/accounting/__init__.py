# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions in the store: their rows, what accounting servers must be told, and bytes per user."""
