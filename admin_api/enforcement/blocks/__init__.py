# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks made over the API: in force at once, in memory, written to the store, told to followers."""
