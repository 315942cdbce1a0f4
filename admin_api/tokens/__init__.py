# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of this API."""
