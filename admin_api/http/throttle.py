# SPDX-License-Identifier: GPL-3.0-or-later
"""A brake on guessing tokens, by an engine of the API's own.

It has its own policy and its own penalty box: what the VPN blocks must not lock the operator out of the way to unblock
it, and the other way round. Only credentials that are wrong count, and only requests without right ones are refused, so
that somebody guessing behind the operator's proxy stops nobody else.
"""

from __future__ import annotations

from sentry_engine import Engine, Policy

MAX_FAILURES = 30  # wrong tokens
WINDOW = 60  # seconds
PENALTY = 60  # seconds

POLICY = {
    "wolfsentry": {
        "version": "1.6.3",
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
    def __init__(self) -> None:
        self._engine = Engine(Policy.from_document(POLICY))

    def note_failure(self, address: str, now: float) -> float | None:
        """Count a wrong token; seconds to wait, where there were too many."""
        return self._engine.decide("auth_failure", address, now=now).retry_after
