# SPDX-License-Identifier: GPL-3.0-or-later
"""The log in ocserv's lines, read with the expressions of filters and dashboards."""

from __future__ import annotations

import io
import logging
import re
from ipaddress import ip_address

import pytest

from ocsentry.observability.log import Log
from ocsentry.observability.ocserv_format import render_lines

HERE = ip_address("192.0.2.7")
OPENED = {"session": "0a1b2c", "user": "alice", "address": HERE, "ipv4": "192.168.99.2", "ipv6": "fd00::2"}
CLOSED = {**OPENED, "reason": "idle_timeout", "rx_bytes": 10, "tx_bytes": 20, "duration": 5}
# What a fail2ban filter for ocserv has, with its <HOST>.
FAIL2BAN = re.compile(r"^main(?:\[[^\]]*\])?:\[?(?P<host>[0-9a-f.:]+?)\]?:\d+ failed authentication attempt for user '")
# What dashboards take from the journal.
DASHBOARD = {
    "in": re.compile(r"main\[(?P<user>[^\]]+)\]:(?P<ip>[^ ]+):\d+ user logged in"),
    "out": re.compile(
        r"main\[(?P<user>[^\]]+)\]:(?P<ip>[^ ]+):\d+ user disconnected \(reason: (?P<why>[^,]+), rx: (\d+), tx: (\d+)\)"
    ),
    "begin": re.compile(r"sec-mod: initiating session for user '(?P<user>[^']+)' \(session: (?P<sid>\w+)\)"),
    "end": re.compile(r"sec-mod: invalidating session of user '(?P<user>[^']+)' \(session: (?P<sid>\w+)\)"),
}


def lines_of(event, **fields):
    return render_lines({"event": event, "level": "info", "timestamp": "2030", **fields}).split("\n")


def test_a_session_from_its_login_to_its_end():
    assert lines_of("login_accepted", user="alice", address=HERE, user_agent="AnyConnect 5") == [
        "worker[alice]: 192.0.2.7 User-agent: 'AnyConnect 5'"
    ]
    assert lines_of("session_opened", **OPENED, user_agent="x") == [
        "sec-mod: initiating session for user 'alice' (session: 0a1b2c)",
        "main[alice]:192.0.2.7:0 new user session",
        "main[alice]:192.0.2.7:0 user logged in",
        "worker[alice]: 192.0.2.7 sending IPv4 192.168.99.2",
        "worker[alice]: 192.0.2.7 sending IPv6 fd00::2",
    ]
    assert lines_of("dtls_up", **OPENED, cipher="x") == ["worker[alice]: 192.0.2.7 DTLS handshake completed"]
    assert lines_of("channel_lost", **OPENED, cause="eof") == [
        "sec-mod: temporarily closing session for alice (session: 0a1b2c)"
    ]
    assert lines_of("session_closed", **CLOSED) == [
        "main[alice]:192.0.2.7:0 user disconnected (reason: idle timeout, rx: 10, tx: 20)",
        "sec-mod: invalidating session of user 'alice' (session: 0a1b2c)",
    ]
    assert lines_of("session_closed", **{**CLOSED, "reason": "user_disconnect"})[0] == (
        "worker[alice]: 192.0.2.7 received BYE packet; exiting"
    )
    assert lines_of("tunnel_refused", user="", address=HERE, reason="bad_cookie") == [
        "worker[]: 192.0.2.7 failed cookie authentication attempt"
    ]
    assert lines_of("stopped") == ["main: server shutdown complete"]


def test_other_events_are_one_line():
    assert lines_of("ready", version="1", listen=["a"], note="two\nlines") == [
        "main: ready version=1 listen=['a'] note=two?lines"
    ]


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_a_filter_of_fail2ban_finds_the_address_of_a_failed_login(address):
    [line] = lines_of("login_refused", user="bob", address=ip_address(address), reason="wrong_password", final=False)
    assert FAIL2BAN.match(line)["host"] == address


@pytest.mark.parametrize(
    "user",
    [
        "x\nmain:198.51.100.1:1 failed authentication attempt for user 'y",
        "x' from 198.51.100.1",
        "\x1b[2J",
        "a]:1.2.3.4:5",
    ],
    ids=["line", "quote", "escape", "bracket"],
)
def test_no_name_makes_a_line_or_an_address_of_its_own(user):
    text = render_lines({"event": "login_refused", "user": user, "address": HERE})
    assert "\n" not in text
    assert FAIL2BAN.search(text)["host"] == "192.0.2.7"
    assert text.count("'") == 2
    opened = render_lines({"event": "session_opened", **OPENED, "user": user})
    assert [found["ip"] for found in DASHBOARD["in"].finditer(opened)] == ["192.0.2.7"]


def test_dashboards_read_the_journal():
    text = "\n".join([*lines_of("session_opened", **OPENED), *lines_of("session_closed", **CLOSED)])
    found = {name: pattern.search(text) for name, pattern in DASHBOARD.items()}
    assert {match["user"] for match in found.values()} == {"alice"}
    assert found["out"]["why"] == "idle timeout"
    assert found["begin"]["sid"] == found["end"]["sid"] == "0a1b2c"


def test_the_log_writes_them():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        stream = io.StringIO()
        log = Log("info", "ocserv", stream)
        log.write("session_closed", "info", **CLOSED)
        logging.getLogger("uvicorn").warning("a library\nsays")
        log.close()
    finally:
        root.handlers, root.level = before, level
    assert stream.getvalue().splitlines() == [
        "main[alice]:192.0.2.7:0 user disconnected (reason: idle timeout, rx: 10, tx: 20)",
        "sec-mod: invalidating session of user 'alice' (session: 0a1b2c)",
        "main: message message=a library?says logger=uvicorn",
    ]
