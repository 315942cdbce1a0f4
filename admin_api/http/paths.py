# SPDX-License-Identifier: GPL-3.0-or-later
"""The paths, and the key of an ASGI scope, that more than one module names."""

from __future__ import annotations

API_PREFIX = "/api/v1"
PROBLEMS_PATH = f"{API_PREFIX}/problems"  # the ``type`` of a problem document lies under it
TOKENS_PATH = f"{API_PREFIX}/tokens"
BLOCKS_IMPORT_PATH = f"{API_PREFIX}/blocks:import"
STREAMED_PATHS = frozenset({BLOCKS_IMPORT_PATH})  # whose bodies are read as they arrive, and may be long
LIVENESS_PATH = "/healthz"
READINESS_PATH = "/readyz"
HEALTH_PATHS = frozenset({LIVENESS_PATH, READINESS_PATH, "/metrics"})

CONSOLE_PATH = "/console"

PRINCIPAL = "ocsentry.principal"  # the caller's key in an ASGI scope
