# SPDX-License-Identifier: GPL-3.0-or-later
"""The rate limit on wrong API tokens, by an engine of the API's own.

Its policy and penalty box are separate from the VPN's. An operator at an address that is blocked from the VPN can still
use the API to remove the block. Only wrong tokens count, and requests with a right token are never refused. So an
attacker behind the operator's proxy locks out no other caller.
"""

from __future__ import annotations

from sentry_engine import FORMAT_VERSION, Engine, Policy

MAX_FAILURES = 30  # wrong tokens
WINDOW = 60  # seconds
PENALTY = 60  # seconds

POLICY = {
    "wolfsentry": {
        "version": FORMAT_VERSION,
        "builtin_limits": False,
        "rules": [
            {
                "id": "api_tokens",
                "type": "auth_limit",
                "remote_addr": ["0.0.0.0/0", "::/0"],
                "max_failures": MAX_FAILURES,
                "window_sec": WINDOW,
                "penalty_duration_sec": PENALTY,
            }
        ],
    }
}


class Throttle:
    """Counts wrong tokens per address."""

    def __init__(self) -> None:
        self._engine = Engine(Policy.from_document(POLICY))

    def note_failure(self, address: str, now: float) -> float | None:
        """Count a wrong token. Returns the seconds to wait after too many, otherwise ``None``."""
        return self._engine.decide("auth_failure", address, now=now).retry_after
