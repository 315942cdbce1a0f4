# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs the progress of a long load, so that a start of half a minute does not look stuck."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ocsentry.observability.event_catalog import LogEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocsentry.observability.event_sink import LineWriter

INTERVAL = 2.0  # seconds between two lines; a shorter load logs nothing


class LoadProgress:
    """Called with (done, whole) on the loading thread; one load at a time."""

    def __init__(self, log: LineWriter, clock: Callable[[], float]) -> None:
        self._log = log
        self._clock = clock
        self._last_done = sys.maxsize  # so that the first call starts a load
        self._said_at = clock()

    def __call__(self, done: int, whole: int) -> None:
        now = self._clock()
        if done < self._last_done:  # another load has begun
            self._said_at = now
        self._last_done = done
        if now - self._said_at >= INTERVAL:
            self._said_at = now
            self._log.write(LogEvent.DATABASES_LOADING, percent=round(100 * done / max(whole, 1)))
