# SPDX-License-Identifier: GPL-3.0-or-later
"""A histogram of durations, as Prometheus has them."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


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
