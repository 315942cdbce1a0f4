# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversion of seconds to whole nanoseconds, which both cores compute with.

Rounding makes 0.3 s minus 0.2 s exactly 0.1 s, so a penalty ends on time in both. ``native/nanoseconds.h`` has the same
bounds: a clock never shows less than 0, and what lies ``MAX_SECONDS`` away has no end.
"""

from __future__ import annotations

import math

NANOSECONDS = 1_000_000_000  # in a second
MAX_SECONDS = 9.2e9  # 292 years
MAX_NANOSECONDS = round(MAX_SECONDS * NANOSECONDS)


def to_nanoseconds(seconds: float) -> int:
    """Whole nanoseconds. Times beyond ``MAX_SECONDS`` on either side count as that."""
    return round(max(-MAX_SECONDS, min(seconds, MAX_SECONDS)) * NANOSECONDS)


def read_clock(now: float) -> int:
    """``now`` in nanoseconds, at least 0."""
    return max(0, to_nanoseconds(now))


def bound(seconds: float) -> float:
    """``seconds``, or ``inf`` for a time or duration of ``MAX_SECONDS`` and more."""
    return seconds if seconds < MAX_SECONDS else math.inf


def is_time(now: float) -> bool:
    """True if ``now`` can be a time of the engine's clock."""
    return -MAX_SECONDS < now < MAX_SECONDS


def reached(now: float, moment: float) -> bool:
    """True if ``now`` is at or past ``moment``, which may be endless."""
    return moment < MAX_SECONDS and read_clock(now) >= read_clock(moment)


def until(now: float, moment: float) -> float:
    """Seconds from ``now`` to ``moment``; ``inf`` if it is endless."""
    return (read_clock(moment) - read_clock(now)) / NANOSECONDS if moment < MAX_SECONDS else math.inf
