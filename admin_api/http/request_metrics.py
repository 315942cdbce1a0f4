# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters and durations of API requests, for Prometheus."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import Histogram

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
OTHER = "other"


class RequestMetrics:
    """Answers by method and status, both from closed sets: an unknown method is counted as "other"."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.seconds = 0.0
        self._durations = Histogram(
            "ocsentry_api_request_duration_seconds",
            "Time from the first byte of a request to the last of its answer",
            ["method"],
            buckets=SECONDS,
            registry=None,
        )

    def count(self, method: str, status: int, seconds: float, *, streamed: bool = False) -> None:
        """Count an answer. The time of a ``streamed`` one, which lasts as long as its listener, is left out."""
        method = method if method in METHODS else OTHER
        self.answers[method, status] += 1
        if streamed:
            return
        self.seconds += seconds
        self._durations.labels(method).observe(seconds)

    def collectors(self) -> tuple[Collector, ...]:
        return (self._durations,)
