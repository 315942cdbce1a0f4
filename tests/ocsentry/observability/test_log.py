# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of the log: their shape, and what a blocked reader loses."""

from __future__ import annotations

import io
import json
import logging
import threading
from pathlib import Path

import pytest

from ocsentry.observability import log as log_module
from ocsentry.observability.event_sink import LoggingEventSink
from ocsentry.observability.log import TEXT_BURST, Log


@pytest.fixture
def quiet_root():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level


def written(log, stream):
    log.close()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.usefixtures("quiet_root")
def test_a_line_is_json_with_its_event_in_front():
    stream = io.StringIO()
    log = Log("info", "json", stream)
    log.write("ready", listen=["[::]:443"], path=Path("/x"))
    log.write("anything", "debug")
    (line,) = written(log, stream)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["listen"] == ["[::]:443"]
    assert line["path"] == "/x"


@pytest.mark.usefixtures("quiet_root")
def test_fields_do_not_overwrite_those_of_the_line():
    stream = io.StringIO()
    log = Log("debug", "json", stream)
    LoggingEventSink(log, Stream(), lambda: 0.0).emit(
        "decision", event="connect", level=3, timestamp="x", exc_info=True
    )
    (line,) = written(log, stream)
    assert (line["event"], line["event_"], line["level"], line["level_"]) == ("decision", "connect", "debug", 3)


@pytest.mark.usefixtures("quiet_root")
def test_libraries_and_their_tracebacks_are_lines_too():
    stream = io.StringIO()
    log = Log("info", "json", stream)
    try:
        int("lost")
    except ValueError:
        logging.getLogger("admin_api.x").exception("request %s failed", 7)
    (line,) = written(log, stream)
    assert (line["event"], line["message"], line["logger"]) == ("message", "request 7 failed", "admin_api.x")
    assert "ValueError: invalid literal" in line["exception"]


@pytest.mark.usefixtures("quiet_root")
def test_control_characters_cannot_forge_lines():
    for style in ("json", "console"):
        stream = io.StringIO()
        log = Log("info", style, stream)
        log.write("login_refused", user="x\n2026 fake line\x1b[31m")
        log.close()
        assert len(stream.getvalue().splitlines()) == 1
        assert "\x1b" not in stream.getvalue()


@pytest.mark.usefixtures("quiet_root")
def test_the_console_format_is_readable():
    stream = io.StringIO()
    log = Log("info", "console", stream)
    log.write("ready", listen="[::]:443")
    log.close()
    assert "ready" in stream.getvalue()
    assert "listen=[::]:443" in stream.getvalue()


class StuckStream(io.StringIO):
    """Its reader stands still until it is released."""

    def __init__(self):
        super().__init__()
        self.reached, self.released = threading.Event(), threading.Event()

    def write(self, text):
        self.reached.set()
        self.released.wait(30)
        return super().write(text)


@pytest.mark.usefixtures("quiet_root")
def test_a_reader_that_stands_still_costs_lines_that_are_counted(monkeypatch):
    monkeypatch.setattr(log_module, "MAX_QUEUED_LINES", 4)
    stream = StuckStream()
    log = Log("info", "json", stream)
    log.write("first")
    assert stream.reached.wait(30)
    for number in range(10):
        log.write("more", number=number)
    assert log.dropped > 0
    stream.released.set()
    log.close()
    log = Log("info", "json", stream)
    log.write("last")
    lines = written(log, stream)
    assert [line["event"] for line in lines] == ["first", "more", "more", "more", "more", "last"]


@pytest.mark.usefixtures("quiet_root")
def test_lost_lines_are_reported_once_there_is_room(monkeypatch):
    monkeypatch.setattr(log_module, "MAX_QUEUED_LINES", 0)
    stream = io.StringIO()
    log = Log("info", "json", stream)
    log.write("lost")
    monkeypatch.undo()
    log.write("kept")
    events = [(line["event"], line.get("lines")) for line in written(log, stream)]
    assert events == [("kept", None), ("log_lines_lost", 1)]


@pytest.mark.usefixtures("quiet_root")
@pytest.mark.parametrize("style", ["json", "console", "ocserv"])
def test_an_event_needs_no_library_to_become_a_record(style, monkeypatch):
    monkeypatch.setattr(logging.Logger, "makeRecord", None)
    stream = io.StringIO()
    log = Log("info", style, stream)
    log.write("ready", listen="[::]:443")
    log.close()
    assert "ready" in stream.getvalue()


class Stream:
    def __init__(self):
        self.events = []

    def take(self, kind, fields, at=None):
        self.events.append(kind)


@pytest.mark.usefixtures("quiet_root")
def test_tracebacks_of_one_logger_have_a_budget():
    stream, now = io.StringIO(), [0.0]
    log = Log("info", "json", stream, clock=lambda: now[0])
    library = logging.getLogger("asyncio")
    for _ in range(1_000):
        library.error("socket.accept() out of system resource", exc_info=OSError(24, "Too many open files"))
    logging.getLogger("other").warning("once")
    for _ in range(100):
        log.write("ready")
    now[0] = 10.0
    library.error("again")
    lines = written(log, stream)
    said = [line["message"] for line in lines if line.get("logger") == "asyncio"]
    assert len(said) == TEXT_BURST + 1
    assert said[-1] == "again (and 950 records before it, not logged)"
    assert sum(line.get("logger") == "other" for line in lines) == 1
    assert sum(line["event"] == "ready" for line in lines) == 100


@pytest.mark.usefixtures("quiet_root")
@pytest.mark.parametrize("name", ["aiosqlite", "sqlalchemy.engine.Engine", "httpcore.http11", "asyncio", "unknown"])
def test_debug_is_for_the_servers_own_packages(name):
    log = Log("debug", "json", io.StringIO())
    assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)
    assert logging.getLogger("vpn_frontend.x").isEnabledFor(logging.DEBUG)
    log.close()


@pytest.mark.usefixtures("quiet_root")
def test_urls_of_requests_to_others_stay_out_of_the_log():
    log = Log("debug", "json", io.StringIO())
    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
    log.close()
