# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in limits, for events without a limit in the rule files. ``"builtin_limits": false`` disables them.

They fit an office of 200 users behind one IPv4 address. All log in within a minute, each stock client with four TCP
connections (two for the forms, one for the tunnel, one retry): 800 connections. One in ten mistypes once: 20 failures,
and every success pays back one of the same user. An attacker guessing passwords from one source gets 30 attempts in
five minutes, then pauses that double up to a day: fewer than 400 attempts in the first day. Successes with another
account pay none of them back.

A rule on the same event replaces the built-in limit for its prefixes and all inside.
"""

from __future__ import annotations

from sentry_engine.prefixes import Origin, Prefixes
from sentry_engine.rules.model import BUILTIN_ID_PREFIX, LimitRule, PaybackRule

EVERYWHERE = Prefixes.of("0.0.0.0/0", "::/0")
ORIGIN = Origin("builtin", "")
DAY = 86_400.0

BUILTIN_LIMITS = (
    LimitRule(
        f"{BUILTIN_ID_PREFIX}connect", "connect", EVERYWHERE, ORIGIN,
        max_events=3_000, window=60.0, penalty=60.0,
        description="four connections each for an office of 200, almost four times over",
    ),
    LimitRule(
        f"{BUILTIN_ID_PREFIX}tls_handshake_failed", "tls_handshake_failed", EVERYWHERE, ORIGIN,
        max_events=120, window=60.0,
        penalty=120.0, penalty_growth=2.0, penalty_max=DAY, description="scanners, and clients that do not speak TLS",
    ),
    LimitRule(
        f"{BUILTIN_ID_PREFIX}dtls_handshake", "dtls_handshake", EVERYWHERE, ORIGIN,
        max_events=1_000, window=1.0,
        description="200 clients that reconnect at once, with retransmissions; no penalty: the source may be spoofed",
    ),
    LimitRule(
        f"{BUILTIN_ID_PREFIX}auth_failure", "auth_failure", EVERYWHERE, ORIGIN,
        max_events=30, window=300.0, penalty=300.0,
        penalty_growth=2.0, penalty_max=DAY, description="password guessing",
    ),
)  # fmt: skip

BUILTIN_PAYBACKS = (PaybackRule("auth_success", "auth_failure", 1),)
