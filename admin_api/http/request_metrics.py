# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters of API requests, for Prometheus."""

from __future__ import annotations

from collections import Counter

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestMetrics:
    """Answers by method and status, both from closed sets: an unknown method is counted as "other"."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.seconds = 0.0

    def count(self, method: str, status: int, seconds: float) -> None:
        self.answers[method if method in METHODS else "other", status] += 1
        self.seconds += seconds
