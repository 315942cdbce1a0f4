# SPDX-License-Identifier: GPL-3.0-or-later
"""The event sink: a flood of one kind suppresses only its own log lines."""

from __future__ import annotations

from ocsentry.observability.event_catalog import LogEvent
from ocsentry.observability.event_sink import BURST, LINES_PER_SECOND, LoggingEventSink
from vpn_frontend.ports import VpnEvent


class Lines:
    def __init__(self):
        self.lines = []

    def write(self, event, level="info", /, **fields):
        self.lines.append((event, level, fields))


class Stream:
    def __init__(self):
        self.events = []

    def take(self, kind, fields, at=None):
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
