# SPDX-License-Identifier: GPL-3.0-or-later
"""The log: one line per event, from structlog and from the standard library's loggers.

Logging only puts a record into a bounded queue; a thread renders and writes. A reader that stops reading (a full
pipe, a stuck journal) loses lines, which are counted and reported. It never stalls the event loop.
"""

from __future__ import annotations

import logging
import logging.handlers
import queue
import sys
from typing import TYPE_CHECKING, Literal

import structlog

from ocsentry.observability.event_catalog import Level, LogEvent

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from structlog.typing import EventDict, WrappedLogger


MAX_QUEUED_LINES = 10_000  # lines; about ten seconds of a busy server, at most 5 MB
OWN_FIELDS = frozenset({"event", "level", "timestamp", "exc_info", "stack_info", "_record", "_from_structlog"})
LIBRARY_LEVELS = {"uvicorn": "WARNING", "uvicorn.access": "ERROR", "alembic": "WARNING", "watchfiles": "WARNING"}


class _BoundedQueueHandler(logging.handlers.QueueHandler):
    """Passes records to the writing thread; counts those that do not fit."""

    def __init__(self, waiting: queue.Queue[logging.LogRecord]) -> None:
        super().__init__(waiting)
        self.dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return the record unchanged: the rendering thread is in this process."""
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class Log:
    """The log of one process. ``close`` writes the queued lines."""

    def __init__(self, level: Level, style: Literal["auto", "console", "json"], stream: TextIO | None = None) -> None:
        stream = sys.stdout if stream is None else stream
        as_json = style == "json" or (style == "auto" and not stream.isatty())
        self._handler = _BoundedQueueHandler(queue.Queue(MAX_QUEUED_LINES))
        writer = logging.StreamHandler(stream)
        writer.setFormatter(_formatter(as_json=as_json, colors=stream.isatty()))
        self._listener = logging.handlers.QueueListener(self._handler.queue, writer)
        root = logging.getLogger()
        root.handlers = [self._handler]
        root.setLevel(level.upper())
        for name, least in LIBRARY_LEVELS.items():
            logging.getLogger(name).setLevel(least)
        _configure_structlog()
        self._log = structlog.stdlib.get_logger("ocsentry")
        self._reported_drops = 0
        self._listener.start()

    @property
    def dropped(self) -> int:
        """Lines lost because the log was not read fast enough."""
        return self._handler.dropped

    def write(self, event: str, level: Level = "info", /, **fields: object) -> None:
        """Write one line. A field named like one of the line's own gets a trailing underscore."""
        named = {f"{name}_" if name in OWN_FIELDS else name: value for name, value in fields.items()}
        self._log.log(logging.getLevelNamesMapping()[level.upper()], str(event), **named)
        if self.dropped > self._reported_drops:
            lost, self._reported_drops = self.dropped - self._reported_drops, self.dropped
            self._log.warning(LogEvent.LOG_LINES_LOST.value, lines=lost)

    def close(self) -> None:
        self._listener.stop()
        logging.getLogger().handlers = []


def _configure_structlog() -> None:
    structlog.configure(
        processors=[*_shared_processors(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _shared_processors() -> list[Callable[[WrappedLogger, str, EventDict], EventDict]]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _formatter(*, as_json: bool, colors: bool) -> logging.Formatter:
    end = (
        [structlog.processors.format_exc_info, _order_fields, structlog.processors.JSONRenderer(default=str)]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=24)]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_shared_processors(), _wrap_library_record],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *end],
    )


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
