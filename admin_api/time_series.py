# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples of the server's figures in memory, at three resolutions. Bounded: some 3 000 samples.

A gauge is what it was at the end of its step. A counter is how much it rose during the step.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class Resolution(StrEnum):
    HOUR = "hour"  # the last hour in steps of 10 seconds
    DAY = "day"  # the last day in steps of 2 minutes
    MONTH = "month"  # the last 30 days in steps of an hour


@dataclass(frozen=True, slots=True)
class _Shape:
    every: int  # samples of 10 seconds in one step
    steps: int


SAMPLE_INTERVAL = 10.0  # seconds
SHAPES = {
    Resolution.HOUR: _Shape(1, 360),
    Resolution.DAY: _Shape(12, 720),
    Resolution.MONTH: _Shape(360, 720),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures at the end of one step."""

    at: datetime
    gauges: Mapping[str, float]
    counters: Mapping[str, float]


class TimeSeries:
    """Give it the present figures every ``SAMPLE_INTERVAL``."""

    def __init__(self) -> None:
        self._kept: dict[Resolution, deque[Sample]] = {
            resolution: deque(maxlen=shape.steps) for resolution, shape in SHAPES.items()
        }
        self._last: dict[Resolution, Mapping[str, float]] = {}
        self._taken = 0

    def add(self, at: datetime, gauges: Mapping[str, float], totals: Mapping[str, float]) -> None:
        """``totals`` are counters since the start of the process; the first call only notes them."""
        for resolution, shape in SHAPES.items():
            if self._taken % shape.every:
                continue
            before = self._last.get(resolution)
            self._last[resolution] = totals
            if before is not None:
                rises = {name: max(0.0, total - before.get(name, 0.0)) for name, total in totals.items()}
                self._kept[resolution].append(Sample(at, gauges, rises))
        self._taken += 1

    def read(self, resolution: Resolution) -> list[Sample]:
        """Returns the samples, oldest first."""
        return [*self._kept[resolution]]

    @staticmethod
    def step_of(resolution: Resolution) -> float:
        """Returns the seconds between two samples."""
        return SHAPES[resolution].every * SAMPLE_INTERVAL
