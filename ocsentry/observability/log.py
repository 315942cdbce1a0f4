# SPDX-License-Identifier: GPL-3.0-or-later
"""The log: one line per event of the server, and per record of the standard library's loggers.

Logging only puts a record into a bounded queue; a thread renders and writes. A reader that stops reading (a full
pipe, a stuck journal) loses lines, which are counted and reported. It never stalls the event loop.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import queue
import sys
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ocsentry.observability.event_catalog import Level, LogEvent
from ocsentry.observability.ocserv_format import render_lines
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from ocsentry.observability.syslog_output import SyslogHandler


LogFormat = Literal["auto", "console", "json", "ocserv"]
EVENT_LOGGER = "ocsentry"
# Lines; about ten seconds of a busy server, at most 5 MB. Each thread that writes at the same moment may add one more.
MAX_QUEUED_LINES = 10_000
LEVELS = logging.getLevelNamesMapping()
OWN_FIELDS = frozenset({"event", "level", "timestamp", "exc_info", "stack_info"})  # the last two are structlog's
# A library's debug lines may hold what the log must not: SQL parameters, headers, URLs. So libraries begin at INFO, and
# the server's own packages at the configured level. SQLAlchemy logs parameters at INFO already.
LIBRARY_LEVELS = {
    "uvicorn": "WARNING",
    "uvicorn.access": "ERROR",
    "alembic": "WARNING",
    "sqlalchemy": "WARNING",
    "aiosqlite": "WARNING",
    "httpx": "WARNING",  # its URLs may hold secrets of receivers and providers
}
OWN_PACKAGES = ("ocsentry", "admin_api", "sentry_engine", "vpn_frontend")
TEXTS_PER_SECOND = 1.0  # records of one logger on average; clients and failures can cause them
TEXT_BURST = 50.0  # records of one logger at once
REST = 0.01  # seconds between two writes of waiting lines


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
        own = _own_fields(self.at, self.level, self.msg)
        return own | {f"{name}_" if name in OWN_FIELDS else name: value for name, value in self.fields.items()}


class _BoundedQueueHandler(logging.handlers.QueueHandler):
    """Passes records to the writing thread; counts those that do not fit."""

    def __init__(self, waiting: queue.SimpleQueue[logging.LogRecord], clock: Callable[[], float]) -> None:
        super().__init__(waiting)
        self.waiting = waiting
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
        if self.waiting.qsize() >= MAX_QUEUED_LINES:
            self.dropped += 1
        else:
            self.waiting.put(record)


class _LineWriter(logging.StreamHandler["TextIO"]):
    """Writes lines; ``finish`` passes them on."""

    _last: logging.LogRecord

    def emit(self, record: logging.LogRecord) -> None:
        self._last = record
        try:
            self.stream.write(self.format(record) + self.terminator)
        except Exception:  # noqa: BLE001 - as every handler of the standard library
            self.handleError(record)

    def finish(self) -> None:
        """Requires that a line was written."""
        try:
            self.stream.flush()
        except Exception:  # noqa: BLE001 - as above
            self.handleError(self._last)


class _Listener(logging.handlers.QueueListener):
    """Passes lines on together once none waits, and then rests: those that come meanwhile wake no thread."""

    def __init__(
        self, waiting: queue.SimpleQueue[logging.LogRecord], writer: _LineWriter, *others: logging.Handler
    ) -> None:
        super().__init__(waiting, writer, *others)
        self._waiting, self._writer = waiting, writer
        self._wrote = False

    def dequeue(self, block: bool) -> logging.LogRecord:
        try:
            record = self._waiting.get_nowait()
        except queue.Empty:
            if self._wrote:
                self._writer.finish()
                time.sleep(REST)
            record = self._waiting.get(block)
        self._wrote = True
        return record

    def stop(self) -> None:
        super().stop()
        if self._wrote:
            self._writer.finish()


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
        writer = _LineWriter(stream)
        writer.setFormatter(_formatter(style, colors=stream.isatty()))
        writers: list[logging.Handler] = [writer]
        if syslog is not None:
            syslog.setFormatter(_formatter(syslog.style, colors=False))
            writers.append(syslog)
        self._writers = writers
        self._listener = _Listener(self._handler.waiting, writer, *writers[1:])
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


class _Formatter(logging.Formatter):
    """Renders the fields of a line: those of an event, or of a library's record as the event ``message``."""

    def __init__(self, render: Callable[[dict[str, Any]], str]) -> None:
        super().__init__()
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        return self._render(record.as_line() if isinstance(record, _EventRecord) else self._library_line(record))

    def _library_line(self, record: logging.LogRecord) -> dict[str, Any]:
        at = datetime.fromtimestamp(record.created, UTC)
        line = _own_fields(at, record.levelname.lower(), LogEvent.MESSAGE.value)
        line |= {"message": record.getMessage(), "logger": record.name}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return line


def _own_fields(at: datetime, level: str, event: str) -> dict[str, Any]:
    """The fields of every line, which come first, so that lines are readable without a tool."""
    return {"timestamp": at.isoformat().replace("+00:00", "Z"), "level": level, "event": event}


def _formatter(style: LogFormat, *, colors: bool) -> logging.Formatter:
    if style == "json":
        return _Formatter(partial(json.dumps, default=str))
    if style == "ocserv":
        return _Formatter(render_lines)
    from structlog.dev import ConsoleRenderer  # noqa: PLC0415 - large, and for terminals only

    console = ConsoleRenderer(colors=colors, pad_event_to=24)
    return _Formatter(lambda line: str(console(None, line["level"], line)))
