# SPDX-License-Identifier: GPL-3.0-or-later
"""Outcomes of authentication methods: how many of each, and how long they took.

They are counted here from the first login on, and made Prometheus' families at a scrape, by ``admin_api.health``: its
library is loaded with the API.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from itertools import accumulate
from typing import TYPE_CHECKING

from vpn_frontend.auth.result import Accepted, Challenge, FirstForm, Negotiate, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.auth.result import Outcome

SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
RESULTS = {Accepted: "accepted", Refused: "refused", Challenge: "challenge", Negotiate: "challenge"}
UNAVAILABLE = "unavailable"


class Durations:
    """A histogram with the bounds ``SECONDS``, each of which belongs to the bucket below it."""

    def __init__(self) -> None:
        self._counts = [0] * (len(SECONDS) + 1)  # the last: above all bounds
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(SECONDS, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Returns each upper bound, with how many were at most as long."""
        return list(zip((*map(str, SECONDS), "+Inf"), map(float, accumulate(self._counts)), strict=True))


class LoginMetrics:
    """An observer of supervised methods. ``method`` is a word of the configuration, so its values are bounded."""

    def __init__(self) -> None:
        self._checks: Counter[tuple[str, str]] = Counter()
        self._durations: defaultdict[str, Durations] = defaultdict(Durations)

    @property
    def checks(self) -> Mapping[tuple[str, str], int]:
        """Checks by method and result."""
        return self._checks

    @property
    def durations(self) -> Mapping[str, Durations]:
        """By method: time until its outcome, without the user's own."""
        return self._durations

    def __call__(self, method: str, outcome: Outcome, seconds: float) -> None:
        if isinstance(outcome, FirstForm):
            return  # nothing was checked
        self._checks[method, RESULTS.get(type(outcome), UNAVAILABLE)] += 1
        self._durations[method].observe(seconds)
