# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks: networks that are refused until they are let in again."""
