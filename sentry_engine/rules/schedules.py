# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules: weekly windows in a time zone. A window that ends before it begins runs past midnight.

Times are local, so "08:00 to 18:00" stays the same when daylight saving time begins or ends. A local time that does not
exist or exists twice has its earlier meaning (PEP 495, fold 0).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sentry_engine.records import dataclass

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
HORIZON = 8  # days, in which every weekly window opens and closes


@dataclass(frozen=True, slots=True)
class Window:
    """``days`` on which it begins, 0 is Monday; ``start`` and ``end`` in minutes of the day, ``end`` at most 1440."""

    days: frozenset[int]
    start: int
    end: int
    zone: str

    def spans(self, unix_time: float) -> Iterator[tuple[float, float]]:
        """(begin, end) in Unix time, from the day before ``unix_time`` to the horizon."""
        zone = ZoneInfo(self.zone)
        today = datetime.fromtimestamp(unix_time, zone).date()
        for offset in range(-1, HORIZON + 1):
            day = today + timedelta(days=offset)
            if day.weekday() in self.days:
                length = (self.end - self.start) % DAY_MINUTES or DAY_MINUTES
                yield _moment(day, self.start, zone), _moment(day, self.start + length, zone)


def is_open(windows: Sequence[Window], unix_time: float) -> bool:
    """True if a window contains ``unix_time``, or there are no windows."""
    return not windows or any(begin <= unix_time < end for w in windows for begin, end in w.spans(unix_time))


def next_change(windows: Sequence[Window], unix_time: float) -> float | None:
    """Unix time of the next edge of a window; ``None``: never."""
    edges = (edge for window in windows for span in window.spans(unix_time) for edge in span)
    return min((edge for edge in edges if edge > unix_time), default=None)


def _moment(day: date, minutes: int, zone: ZoneInfo) -> float:
    days, minute = divmod(minutes, DAY_MINUTES)
    local = datetime.combine(day, time(minute // 60, minute % 60))
    return (local + timedelta(days=days)).replace(tzinfo=zone).timestamp()
