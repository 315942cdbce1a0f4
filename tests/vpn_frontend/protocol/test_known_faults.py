# SPDX-License-Identifier: GPL-3.0-or-later
"""Known faults of VPN servers and HTTP front ends, each with its source: this server with the same input."""

import asyncio

import pytest

from vpn_frontend.protocol.config_auth import MessageError, parse_message
from vpn_frontend.protocol.connection import Connection, PortalConfig, Send
from vpn_frontend.protocol.http import HttpConnection, HttpError
from vpn_frontend.protocol.login_attempts import LoginAttempts
from vpn_frontend.sessions.admission import CookieError


@pytest.fixture
def connection():
    return Connection(PortalConfig(LoginAttempts(240), attempts=3, groups=("staff",), certificate_sha1=""))


@pytest.mark.parametrize("how", ["kill", "kill_user", "log_out", "block"])
def test_an_ended_session_does_not_come_back_with_its_cookie(make_lab, how):
    """OpenVPN, CVE-2024-28882."""
    lab = make_lab()
    cookie = lab.log_in()
    lab.tunnel(cookie)
    match how:
        case "kill":
            lab.live.kill(lab.live.list()[0].id, "out")
        case "kill_user":
            lab.live.kill_user("alice", "out")
        case "log_out":
            lab.table.log_out(cookie, lab.now)
        case "block":
            lab.engine.block("192.0.2.0/24", rule_id="block:1")
            asyncio.run(lab.live.reassess(lab.now))
            lab.engine.unblock("block:1")
    for _ in range(2):
        with pytest.raises(CookieError):
            lab.tunnel(cookie)
        lab.pump()
    assert lab.engine.leases() == []


@pytest.mark.parametrize(
    "path",
    [
        "/+CSCOU+/../+CSCOE+/files/file_list.json?path=/sessions",  # CVE-2018-0296
        "/+CSCOT+/translation-table?type=mst&textdomain=/%2bCSCOE%2b/portal_inc.lua&lang=../",  # CVE-2020-3452
        "/+CSCOE+/session_password.html",  # CVE-2020-3187
        "/+CSCOE+/files/file_action.html?mode=upload",  # CVE-2025-20362
        "/profiles/../../etc/passwd",
        "/1/%2e%2e/%2e%2e/server.key",
        "/staff/../server.key",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_path_leaves_the_known_ones(connection, method, path):
    """Cisco ASA: files and functions reached by paths with dots, or without a login."""
    body = b"Content-Length: 0\r\n" if method == "POST" else b""
    effects = connection.receive(f"{method} {path} HTTP/1.1\r\nHost: v\r\n".encode() + body + b"\r\n", 0)
    assert isinstance(effects[0], Send)
    status = effects[0].data.split(b" ", 2)[1]
    known = path.startswith("/+CSCOT+/translation-table") and method == "GET"
    assert status == (b"200" if known else b"404")
    assert b"PRIVATE KEY" not in effects[0].data
    assert b"root:" not in effects[0].data


@pytest.mark.parametrize("line", [b": x\r\n", b"X\0: y\r\n", b"X : y\r\n", b"\x00\r\n", b"X: a\x00b\r\n"])
def test_a_header_without_a_proper_name_drops_no_header_behind_it(line):
    """haproxy, CVE-2023-25725."""
    request = b"POST / HTTP/1.1\r\nHost: v\r\n" + line + b"Content-Length: 5\r\n\r\nhello"
    with pytest.raises(HttpError):
        HttpConnection().receive(request)


@pytest.mark.parametrize(
    "body",
    [b"5\r\nhelloXX0\r\n\r\n", b"5\r\nhello0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n"],
)
def test_a_chunk_ends_where_it_says(body):
    """h11, CVE-2025-43859."""
    with pytest.raises(HttpError):
        HttpConnection().receive(b"POST / HTTP/1.1\r\nHost: v\r\nTransfer-Encoding: chunked\r\n\r\n" + body)


def test_a_length_beside_chunks_is_refused():
    """ocserv 1.5.0, #716, and every smuggling since: a length beside chunks is refused."""
    head = b"POST / HTTP/1.1\r\nHost: v\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection = HttpConnection()
    try:
        request = connection.receive(head + b"0\r\n\r\nGET /logout HTTP/1.1\r\nHost: v\r\n\r\n")
    except HttpError:
        return
    assert request is None or request.path == "/"


@pytest.mark.parametrize("name", [b"al%00ice", b"a%0Ab", b"%1b[2J"])
def test_a_name_with_control_characters_is_refused(name):
    """OpenVPN, CVE-2017-7522 and CVE-2024-5594: a NUL that shortens a name, bytes that redraw a log."""
    with pytest.raises(MessageError):
        parse_message(b"username=" + name + b"&password=x", "application/x-www-form-urlencoded")
