# SPDX-License-Identifier: GPL-3.0-or-later
"""ocserv's ban points as rules of the policy.

ocserv adds points of failed logins and of connections to one score per source, and bans it when the score is reached.
Here each kind has a limit of its own. The limit of failed logins counts the connection that each of them needs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ocsentry.configuration.ocserv.rows import number_of

if TYPE_CHECKING:
    from ocsentry.configuration.ocserv.target import Target

RULE_FILE = "rules/ocserv.json"
RATE_RULE = "ocserv_rate_limit"
EVERYBODY = ["0.0.0.0/0", "::/0"]
DEFAULTS = {  # of ocserv
    "max-ban-score": 80,
    "ban-time": 300,
    "ban-reset-time": 1200,
    "ban-points-wrong-password": 10,
    "ban-points-connection": 1,
    "rate-limit-ms": 0,
}
MAX_COUNT = 65_535


def assemble_bans(target: Target) -> None:
    """Writes the rule file, also without any rule: it replaces the one of an earlier start."""
    values = {key: _value(target, key) for key in DEFAULTS}
    rules = _rules(**{key.replace("-", "_"): value for key, value in values.items()})
    target.files[RULE_FILE] = (
        json.dumps({"wolfsentry": {"version": "1.6.3", "rules": rules}}, indent=2).encode() + b"\n"
    )
    paused = target.last("rate-limit-ms")
    if paused is not None and values["rate-limit-ms"] and not any(rule["id"] == RATE_RULE for rule in rules):
        target.ignore(paused, "connections of a source are limited by max-ban-score and ban-points-connection already")
    given = [entry for key in DEFAULTS if (entry := target.last(key)) is not None]
    if given and rules:
        told = ", ".join(f"{rule['id']}: {_told(rule)}" for rule in rules)
        target.differs(given[0], f"points of one score become limits of each kind ({told})")


def _value(target: Target, key: str) -> int:
    entry = target.last(key)
    value = None if entry is None else number_of(target, entry)
    return DEFAULTS[key] if value is None else value


def _rules(
    max_ban_score: int,
    ban_time: int,
    ban_reset_time: int,
    ban_points_wrong_password: int,
    ban_points_connection: int,
    rate_limit_ms: int,
) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = []
    penalty = {"penalty_duration_sec": ban_time, "penalty_growth": 1}
    penalty["penalty_max_sec"] = max(ban_time, 1)
    window = max(ban_reset_time, 1)
    if max_ban_score and ban_points_wrong_password:
        failures = _count(max_ban_score, ban_points_wrong_password + ban_points_connection)
        rules.append(
            {
                "id": "ocserv_failed_logins",
                "type": "auth_limit",
                "remote_addr": EVERYBODY,
                "max_failures": failures,
                "window_sec": window,
                **penalty,
            }
        )
    if max_ban_score and ban_points_connection:
        rules.append(
            {
                "id": "ocserv_connections",
                "type": "rate_limit",
                "remote_addr": EVERYBODY,
                "max_connections": _count(max_ban_score, ban_points_connection),
                "window_sec": window,
                **penalty,
            }
        )
    elif rate_limit_ms:  # one limit of connections per source: a ban says more than ocserv's pause
        rules.append(
            {
                "id": RATE_RULE,
                "type": "rate_limit",
                "remote_addr": EVERYBODY,
                "max_connections": max(1, min(10_000 // rate_limit_ms, MAX_COUNT)),
                "window_sec": 10,
            }
        )
    return rules


def _count(score: int, points: int) -> int:
    """Events that a source may cause before the one that reaches the score."""
    return max(1, min(-(-score // points) - 1, MAX_COUNT))


def _told(rule: dict[str, Any]) -> str:
    count = rule.get("max_failures", rule.get("max_connections"))
    return f"{count} in {rule['window_sec']} s"
