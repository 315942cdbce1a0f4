# SPDX-License-Identifier: GPL-3.0-or-later
"""Outcomes of authentication methods: how many of each, and how long they took.

They are counted here from the first login on, and made Prometheus' families at a scrape, by ``admin_api.health``: its
library is loaded with the API.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from admin_api.metrics.durations import Durations
from vpn_frontend.auth.result import Accepted, Challenge, FirstForm, Negotiate, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.auth.result import Outcome

RESULTS = {Accepted: "accepted", Refused: "refused", Challenge: "challenge", Negotiate: "challenge"}
UNAVAILABLE = "unavailable"


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
