# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversion of seconds to whole nanoseconds, which both cores compute with.

Rounding makes 0.3 s minus 0.2 s exactly 0.1 s, so a penalty ends on time in both.
"""

from __future__ import annotations

import math

NANOSECONDS = 1_000_000_000  # in a second


def to_nanoseconds(seconds: float) -> int:
    return round(seconds * NANOSECONDS)


def reached(now: float, moment: float) -> bool:
    """True if ``now`` is at or past ``moment``, which may be ``inf``."""
    return math.isfinite(moment) and to_nanoseconds(now) >= to_nanoseconds(moment)


def until(now: float, moment: float) -> float:
    """Seconds from ``now`` to ``moment``."""
    return (to_nanoseconds(moment) - to_nanoseconds(now)) / NANOSECONDS if math.isfinite(moment) else moment
