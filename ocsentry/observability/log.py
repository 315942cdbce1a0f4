# SPDX-License-Identifier: GPL-3.0-or-later
"""The log: one line per event of the server, and per record of the standard library's loggers.

Logging only puts a record into a bounded queue; a thread renders and writes. A reader that stops reading (a full
pipe, a stuck journal) loses lines, which are counted and reported. It never stalls the event loop.
"""

from __future__ import annotations

import logging
import logging.handlers
import queue
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import structlog

from ocsentry.observability.event_catalog import Level, LogEvent
from ocsentry.observability.ocserv_format import render_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from structlog.typing import EventDict, WrappedLogger

    from ocsentry.observability.syslog_output import SyslogHandler


LogFormat = Literal["auto", "console", "json", "ocserv"]
EVENT_LOGGER = "ocsentry"
# Lines; about ten seconds of a busy server, at most 5 MB. Each thread that writes at the same moment may add one more.
MAX_QUEUED_LINES = 10_000
LEVELS = logging.getLevelNamesMapping()
OWN_FIELDS = frozenset({"event", "level", "timestamp", "exc_info", "stack_info", "_record", "_from_structlog"})
# A library's debug lines may hold what the log must not: SQL parameters, headers, URLs. So libraries begin at INFO, and
# the server's own packages at the configured level. SQLAlchemy logs parameters at INFO already.
LIBRARY_LEVELS = {
    "uvicorn": "WARNING",
    "uvicorn.access": "ERROR",
    "alembic": "WARNING",
    "watchfiles": "WARNING",
    "sqlalchemy": "WARNING",
    "aiosqlite": "WARNING",
    "httpx": "WARNING",  # its URLs may hold secrets of receivers and providers
}
OWN_PACKAGES = ("ocsentry", "admin_api", "sentry_engine", "vpn_frontend")
TEXTS_PER_SECOND = 1.0  # records of one logger on average; clients and failures can cause them
TEXT_BURST = 50.0  # records of one logger at once


@dataclass(slots=True)
class _Budget:
    """The records that one logger may still write."""

    records: float
    at: float
    suppressed: int = 0

    def take(self, now: float) -> bool:
        self.records = min(TEXT_BURST, self.records + (now - self.at) * TEXTS_PER_SECOND)
        self.at = now
        if self.records < 1:
            self.suppressed += 1
            return False
        self.records -= 1
        return True


class _EventRecord(logging.LogRecord):
    """An event for the writing thread. It leaves out what a record finds out about caller, thread and process."""

    def __init__(self, level: Level, event: str, fields: dict[str, object]) -> None:
        self.name, self.msg, self.args = EVENT_LOGGER, event, ()
        self.at = datetime.now(UTC)
        self.level = level
        self.fields = fields

    def as_line(self) -> dict[str, object]:
        """The fields of every line first, so that lines are readable without a tool."""
        line = {"timestamp": self.at.isoformat().replace("+00:00", "Z"), "level": self.level, "event": self.msg}
        return line | {f"{name}_" if name in OWN_FIELDS else name: value for name, value in self.fields.items()}


class _BoundedQueueHandler(logging.handlers.QueueHandler):
    """Passes records to the writing thread; counts those that do not fit."""

    def __init__(self, waiting: queue.SimpleQueue[logging.LogRecord], clock: Callable[[], float]) -> None:
        super().__init__(waiting)
        self._waiting = waiting
        self._clock = clock
        self._budgets: dict[str, _Budget] = {}  # by logger
        self.dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return the record unchanged: the rendering thread is in this process."""
        return record

    def filter(self, record: logging.LogRecord) -> bool:
        """True if the budget of the record's logger allows it. Tracebacks of a failure would else fill the disk."""
        now = self._clock()
        budget = self._budgets.setdefault(record.name, _Budget(TEXT_BURST, now))
        allowed = budget.take(now)
        if allowed and budget.suppressed:
            record.msg = f"{record.getMessage()} (and {budget.suppressed} records before it, not logged)"
            record.args, budget.suppressed = (), 0
        return allowed and bool(super().filter(record))

    def enqueue(self, record: logging.LogRecord) -> None:
        if self._waiting.qsize() >= MAX_QUEUED_LINES:
            self.dropped += 1
        else:
            self._waiting.put(record)


class Log:
    """The log of one process. ``close`` writes the queued lines."""

    def __init__(
        self,
        level: Level,
        style: LogFormat,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        syslog: SyslogHandler | None = None,
    ) -> None:
        """``syslog`` gets the lines as well, and is closed with the log."""
        stream = sys.stdout if stream is None else stream
        if style == "auto":
            style = "console" if stream.isatty() else "json"
        self._handler = _BoundedQueueHandler(queue.SimpleQueue(), clock)
        writer = logging.StreamHandler(stream)
        writer.setFormatter(_formatter(style, colors=stream.isatty()))
        writers: list[logging.Handler] = [writer]
        if syslog is not None:
            syslog.setFormatter(_formatter(syslog.style, colors=False))
            writers.append(syslog)
        self._writers = writers
        self._listener = logging.handlers.QueueListener(self._handler.queue, *writers)
        logging.getLogger().handlers = [self._handler]
        self.set_level(level)
        self._events = logging.getLogger(EVENT_LOGGER)
        self._reported_drops = 0
        self._listener.start()

    @property
    def dropped(self) -> int:
        """Lines lost because the log was not read fast enough."""
        return self._handler.dropped

    def write(self, event: str, level: Level = "info", /, **fields: object) -> None:
        """Write one line. A field named like one of the line's own gets a trailing underscore."""
        self._put(level, str(event), fields)
        if self.dropped > self._reported_drops:
            lost, self._reported_drops = self.dropped - self._reported_drops, self.dropped
            self._put("warning", LogEvent.LOG_LINES_LOST.value, {"lines": lost})

    def set_level(self, level: Level) -> None:
        """Log from this severity on."""
        logging.getLogger().setLevel(max(LEVELS[level.upper()], logging.INFO))
        for name in OWN_PACKAGES:
            logging.getLogger(name).setLevel(level.upper())
        for name, least in LIBRARY_LEVELS.items():
            logging.getLogger(name).setLevel(max(LEVELS[least], LEVELS[level.upper()]))

    def close(self) -> None:
        self._listener.stop()
        logging.getLogger().handlers = []
        for more in self._writers[1:]:
            more.close()

    def _put(self, level: Level, event: str, fields: dict[str, object]) -> None:
        if self._events.isEnabledFor(LEVELS[level.upper()]):
            self._handler.enqueue(_EventRecord(level, event, fields))


def _shared_processors() -> list[Callable[[WrappedLogger, str, EventDict], EventDict]]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders events at once: they need none of the processors that make a line of a library's record."""

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record, _EventRecord):
            return str(self.processors[-1](None, record.level, record.as_line()))
        return super().format(record)


def _formatter(style: LogFormat, *, colors: bool) -> logging.Formatter:
    end: list[Any]
    if style == "json":
        end = [structlog.processors.format_exc_info, _order_fields, structlog.processors.JSONRenderer(default=str)]
    elif style == "ocserv":
        end = [structlog.processors.format_exc_info, _as_ocserv]
    else:
        end = [structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=24)]
    return _Formatter(
        foreign_pre_chain=[*_shared_processors(), _wrap_library_record],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *end],
    )


def _as_ocserv(_: WrappedLogger, __: str, event: EventDict) -> str:
    return render_lines(event)


def _order_fields(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put the fields of every line first, so that lines are readable without a tool."""
    return {key: event[key] for key in ("timestamp", "level", "event") if key in event} | dict(event)


def _wrap_library_record(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Turn a library's text into the event ``message`` with the fields ``message`` and ``logger``."""
    record = event.get("_record")
    event["message"], event["event"] = event["event"], LogEvent.MESSAGE.value
    if isinstance(record, logging.LogRecord):
        event["logger"] = record.name
    return event
