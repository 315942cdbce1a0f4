# SPDX-License-Identifier: GPL-3.0-or-later
"""Outcomes of authentication methods: how many of each, and how long they took."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram

from vpn_frontend.auth.result import Accepted, Challenge, FirstForm, Negotiate, Refused

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from vpn_frontend.auth.result import Outcome

SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
RESULTS = {Accepted: "accepted", Refused: "refused", Challenge: "challenge", Negotiate: "challenge"}
UNAVAILABLE = "unavailable"


class LoginMetrics:
    """An observer of supervised methods. ``method`` is a word of the configuration, so its values are bounded."""

    def __init__(self) -> None:
        self._checks = Counter(
            "ocsentry_auth_checks", "Outcomes of authentication methods", ["method", "result"], registry=None
        )
        self._seconds = Histogram(
            "ocsentry_auth_check_duration_seconds",
            "Time until the outcome of a method, without the user's own",
            ["method"],
            buckets=SECONDS,
            registry=None,
        )
        # The library looks a child up under a lock and checks each label again; a login asks for the same few.
        self._count_of = cache(self._checks.labels)
        self._duration_of = cache(self._seconds.labels)

    def __call__(self, method: str, outcome: Outcome, seconds: float) -> None:
        if isinstance(outcome, FirstForm):
            return  # nothing was checked
        self._count_of(method, RESULTS.get(type(outcome), UNAVAILABLE)).inc()
        self._duration_of(method).observe(seconds)

    def collectors(self) -> tuple[Collector, ...]:
        return self._checks, self._seconds
