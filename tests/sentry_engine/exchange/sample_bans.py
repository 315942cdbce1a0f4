# SPDX-License-Identifier: GPL-3.0-or-later
"""The bans that every exchange format writes in tests."""

from __future__ import annotations

from sentry_engine.exchange.bans import Ban

NOW = 1_000_000_000.0


BANS = [
    Ban.of("192.0.2.1", NOW + 600, "guessing"),
    Ban.of("198.51.100.0/24", None, "for ever"),
    Ban.of("198.51.100.7", NOW + 60, "inside"),
    Ban.of("2001:db8::/48", NOW + 3_600, "v6"),
    Ban.of("203.0.113.1", NOW - 1, "over"),
]
