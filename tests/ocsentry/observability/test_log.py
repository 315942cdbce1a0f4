# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of the log: their shape, what a flood does to them, and that every event is in the vocabulary."""

from __future__ import annotations

import ast
import io
import json
import logging
from pathlib import Path

import pytest

from ocsentry.observability.event_catalog import EVENT_CATALOG, LogEvent
from ocsentry.observability.event_sink import BURST, LINES_PER_SECOND, LoggingEventSink
from ocsentry.observability.log import Log
from ocsentry.runtime.load_progress import LoadProgress
from vpn_frontend.ports import VpnEvent

ROOT = Path(__file__).parents[3]


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
def test_fields_never_stand_in_the_way_of_the_line():
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
def test_control_characters_of_strangers_stay_in_their_line():
    for style in ("json", "console"):
        stream = io.StringIO()
        log = Log("info", style, stream)
        log.write("login_refused", user="x\n2026 fake line\x1b[31m")
        log.close()
        assert len(stream.getvalue().splitlines()) == 1
        assert "\x1b" not in stream.getvalue()


@pytest.mark.usefixtures("quiet_root")
def test_people_get_readable_lines():
    stream = io.StringIO()
    log = Log("info", "console", stream)
    log.write("ready", listen="[::]:443")
    log.close()
    assert "ready" in stream.getvalue()
    assert "listen=[::]:443" in stream.getvalue()


class Lines:
    def __init__(self):
        self.lines = []

    def write(self, event, level="info", /, **fields):
        self.lines.append((event, level, fields))


class Stream:
    def __init__(self):
        self.events = []

    def emit(self, kind, **fields):
        self.events.append(kind)


def test_a_flood_of_one_kind_costs_only_its_own_lines():
    lines, stream, now = Lines(), Stream(), [100.0]
    events = LoggingEventSink(lines, stream, lambda: now[0])
    for _ in range(int(BURST) + 50):
        events.emit(VpnEvent.LOGIN_REFUSED, user="x")
    events.emit(LogEvent.READY)
    assert len(lines.lines) == BURST + 1
    assert len(stream.events) == BURST + 51
    now[0] += 1.5 / LINES_PER_SECOND
    events.emit(VpnEvent.LOGIN_REFUSED, user="y")
    assert lines.lines[-2] == ("events_suppressed", "warning", {"kind": "login_refused", "count": 50})
    assert lines.lines[-1] == ("login_refused", "warning", {"user": "y"})


def literal_kinds():
    """The first arguments of all calls of ``emit`` that are texts."""
    for package in ("admin_api", "ocsentry", "vpn_frontend"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                is_emit = (
                    isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "emit"
                )
                if is_emit and node.args and isinstance(node.args[0], ast.Constant):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node.args[0].value


def test_every_event_is_in_the_vocabulary():
    unknown = [
        f"{where}: {kind}" for where, kind in literal_kinds() if isinstance(kind, str) and kind not in EVENT_CATALOG
    ]
    assert unknown == []
    assert {*VpnEvent, *LogEvent} <= set(EVENT_CATALOG)


def test_a_long_load_says_how_far_it_is_and_a_short_one_nothing():
    lines, now = Lines(), [10.0]
    progress = LoadProgress(lines, lambda: now[0])
    for done in (0, 25, 50, 75, 100):
        progress(done, 100)
        now[0] += 1.5
    assert [fields["percent"] for _, _, fields in lines.lines] == [50, 100]
    progress(0, 100)
    now[0] += 1.0
    progress(100, 100)
    assert len(lines.lines) == 2
