# SPDX-License-Identifier: GPL-3.0-or-later
"""The log in syslog: which lines, with which priority and for which program."""

import io
import json
import logging
import syslog

import pytest

from ocsentry.observability import syslog_output
from ocsentry.observability.log import Log

LOGIN = {"user": "al\nice", "address": "192.0.2.1"}


class Daemon:
    """What ``syslog(3)`` is told."""

    LOG_PID, LOG_NDELAY = syslog.LOG_PID, syslog.LOG_NDELAY
    LOG_INFO, LOG_AUTH, LOG_DAEMON = syslog.LOG_INFO, syslog.LOG_AUTH, syslog.LOG_DAEMON

    def __init__(self):
        self.opened, self.lines, self.closed = [], [], False

    def openlog(self, name, options, facility):
        self.opened.append((name, facility))

    def syslog(self, priority, line):
        self.lines.append((priority, line))

    def closelog(self):
        self.closed = True


@pytest.fixture
def daemon(monkeypatch):
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    made = Daemon()
    monkeypatch.setattr(syslog_output, "syslog", made)
    yield made
    root.handlers, root.level = handlers, level


def test_lines_of_ocserv(daemon):
    stream = io.StringIO()
    log = Log("info", "json", stream, syslog=syslog_output.SyslogHandler("auth", "ocserv"))
    log.write("login_refused", "warning", **LOGIN)
    log.write("anything", "debug")
    log.close()
    assert daemon.opened == [("ocserv", syslog.LOG_AUTH)]
    assert daemon.lines == [
        (syslog.LOG_WARNING, "main:192.0.2.1:0 failed authentication attempt for user 'al?ice'"),
    ]
    assert daemon.closed
    assert json.loads(stream.getvalue())["event"] == "login_refused", "standard output has its own format"


def test_lines_in_json_and_those_of_libraries(daemon):
    log = Log("info", "ocserv", io.StringIO(), syslog=syslog_output.SyslogHandler("daemon", "json"))
    log.write("login_refused", "error", **LOGIN)
    logging.getLogger("some.library").critical("one\0two")
    log.close()
    assert daemon.opened == [("ocsentry", syslog.LOG_DAEMON)]
    (first, line), (second, other) = daemon.lines
    assert (first, second) == (syslog.LOG_ERR, syslog.LOG_CRIT)
    assert json.loads(line)["user"] == "al\nice"
    assert json.loads(other)["event"] == "message"
