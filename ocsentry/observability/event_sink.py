# SPDX-License-Identifier: GPL-3.0-or-later
"""The sink of all events: writes each to the API's event stream and, under a rate limit, to the log.

Clients can cause events (refused logins, broken handshakes), so each kind has a budget of log lines. Lines beyond it
are counted, and the count is logged when the budget allows. The event stream has its own bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ocsentry.observability.event_catalog import LogEvent, level_of
from sentry_engine.records import dataclass
from vpn_frontend.ports import EventSink

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ocsentry.observability.event_catalog import Level

LINES_PER_SECOND = 20.0  # lines of one kind on average: 2 million a day
BURST = 200.0  # lines of one kind at once, such as an office logging in


class LineWriter(Protocol):
    """Writes log lines; ``observability.log.Log`` implements it."""

    def write(self, event: str, level: Level = "info", /, **fields: object) -> None: ...


class TimedEventSink(EventSink, Protocol):
    """An event sink that also takes events that happened some moments ago."""

    def emit_at(self, at: datetime, kind: str, /, **fields: object) -> None: ...


class EventStream(Protocol):
    """What hands events on; the API's event hub is one."""

    def take(self, kind: str, fields: dict[str, object], at: datetime | None = None) -> None:
        """``at``: when it happened; ``None``: now. The caller leaves ``fields`` alone from then on."""


@dataclass(slots=True)
class _Budget:
    lines: float
    at: float  # seconds of the clock
    suppressed: int = 0


class LoggingEventSink:
    """An ``EventSink`` with one budget of log lines per kind of event; the kinds are those of the catalog."""

    def __init__(self, log: LineWriter, stream: EventStream, clock: Callable[[], float]) -> None:
        self._log = log
        self._stream = stream
        self._clock = clock
        self._budgets: dict[str, _Budget] = {}

    def emit(self, kind: str, **fields: object) -> None:
        kind = str(kind)
        self._stream.take(kind, fields)
        self._write(kind, fields)

    def emit_at(self, at: datetime, kind: str, /, **fields: object) -> None:
        kind = str(kind)
        self._stream.take(kind, fields, at)
        self._write(kind, fields)

    def _write(self, kind: str, fields: dict[str, object]) -> None:
        if self._may_write(kind):
            self._log.write(kind, level_of(kind), **fields)

    def _may_write(self, kind: str) -> bool:
        now = self._clock()
        budget = self._budgets.get(kind)
        if budget is None:
            budget = self._budgets[kind] = _Budget(BURST, now)
        budget.lines = min(BURST, budget.lines + (now - budget.at) * LINES_PER_SECOND)
        budget.at = now
        if budget.lines < 1:
            budget.suppressed += 1
            return False
        budget.lines -= 1
        if budget.suppressed:
            self._log.write(LogEvent.EVENTS_SUPPRESSED, "warning", kind=kind, count=budget.suppressed)
            budget.suppressed = 0
        return True
