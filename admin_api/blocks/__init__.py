# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks: networks that the policy refuses until the block ends or is removed."""
