# SPDX-License-Identifier: GPL-3.0-or-later
"""The paths that more than one module names."""

from __future__ import annotations

API_PREFIX = "/api/v1"
PROBLEMS_PATH = f"{API_PREFIX}/problems"  # the ``type`` of a problem document lies under it
TOKENS_PATH = f"{API_PREFIX}/tokens"
