# SPDX-License-Identifier: GPL-3.0-or-later
"""Camouflage: strangers see a web server, and clients, browsers and reconnects get through."""

import pytest

from vpn_frontend.protocol.browser_pages import PATHS
from vpn_frontend.protocol.camouflage import Camouflage
from vpn_frontend.protocol.connection import CheckLogin, Close, Connection, OpenTunnel, PortalConfig, Send, ShowPage
from vpn_frontend.protocol.http import HttpResponse
from vpn_frontend.protocol.login_attempts import LoginAttempts
from vpn_frontend.protocol.login_form import Field, FieldKind, Form

SECRET, LIVE = "let-me.in", "ab" * 32
INIT = b'<config-auth client="vpn" type="init"><version who="vpn">v9.01</version></config-auth>'
REPLY = (
    b'<config-auth client="vpn" type="auth-reply"><auth><username>alice</username><password>secret</password></auth>'
    b"</config-auth>"
)


@pytest.fixture
def make_portal():
    def make(realm="", **more):
        camouflage = Camouflage(SECRET, realm, lambda cookie: cookie == LIVE)
        more = {"attempts": 3, "groups": (), "certificate_sha1": "", **more}
        return PortalConfig(LoginAttempts(240), camouflage=camouflage, **more)

    return make


def request(method, target, body=b"", **headers):
    lines = [f"{method} {target} HTTP/1.1", "Host: vpn", *(f"{name}: {value}" for name, value in headers.items())]
    if method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def sent(effects):
    return b"".join(effect.data for effect in effects if isinstance(effect, Send))


@pytest.mark.parametrize(
    "data",
    [
        request("GET", "/"),
        request("GET", "/?let-me.i"),
        request("GET", "/?let-me.inn"),
        request("GET", "/let-me.in"),
        request("GET", "/?%6cet-me.in"),
        request("GET", "/+CSCOE+/logon.html"),
        request("GET", "/1/index.html"),
        request("POST", "/", INIT),
        request("POST", "/auth", REPLY, Cookie="webvpncontext=0123456789abcdef0123456789abcdef"),
        request("POST", "/logout", b""),
        request("CONNECT", "/CSCOSSLC/tunnel", Cookie="webvpn=" + "00" * 32),
        request("CONNECT", "/CSCOSSLC/tunnel"),
        request("PUT", "/"),
    ],
    ids=lambda data: data.split(b" HTTP")[0].decode(),
)
@pytest.mark.parametrize(("realm", "status"), [("", b"404 Not Found"), ("Files", b"401 Unauthorized")])
def test_a_stranger_gets_the_same_answer_whatever_it_asks(make_portal, data, realm, status):
    connection = Connection(make_portal(realm))
    effects = connection.receive(data, 0)
    answer = sent(effects)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert (b'WWW-Authenticate: Basic realm="Files"' in answer) is bool(realm)
    for word in (b"webvpn", b"config-auth", b"Transcend", b"Cookie"):
        assert word not in answer
    assert isinstance(effects[-1], Close)


def test_openconnect_logs_in_with_the_secret_over_one_connection_or_two(make_portal):
    portal = make_portal()
    connection = Connection(portal)
    form = sent(connection.receive(request("POST", f"/?{SECRET}", INIT), 0))
    assert f'action="/auth?{SECRET}"'.encode() in form
    assert isinstance(connection.receive(request("POST", "/auth", REPLY), 0)[0], CheckLogin), "the same connection"
    assert isinstance(Connection(portal).receive(request("POST", f"/auth?{SECRET}", REPLY), 0)[0], CheckLogin)


def test_a_group_in_the_url_keeps_the_secret(make_portal):
    portal = make_portal(groups=("staff",), path_groups=frozenset({"staff"}))
    form = sent(Connection(portal).receive(request("GET", f"/staff?{SECRET}"), 0))
    assert f'action="/staff?{SECRET}"'.encode() in form


def test_a_login_under_way_is_known_by_its_context_cookie(make_portal):
    portal = make_portal()
    first = Connection(portal)
    first.receive(request("POST", f"/auth?{SECRET}", REPLY), 0)
    challenge = Form((Field("answer", FieldKind.PASSWORD, "Code:"),))
    form = sent(first.login_challenged(challenge, object(), 0))
    context = form.split(b"webvpncontext=")[1].split(b";")[0].decode()
    answer = b'<config-auth type="auth-reply"><auth><answer>123456</answer></auth></config-auth>'
    late = request("POST", "/auth", answer, Cookie=f"webvpncontext={context}")
    assert isinstance(Connection(portal).receive(late, 1)[0], CheckLogin)
    assert sent(Connection(portal).receive(late, 241)).startswith(b"HTTP/1.1 404")


def test_a_live_session_reconnects_and_fetches_what_the_downloader_wants(make_portal):
    portal = make_portal()
    reconnect = request("CONNECT", "/CSCOSSLC/tunnel", Cookie=f"webvpn={LIVE}")
    assert isinstance(Connection(portal).receive(reconnect, 0)[0], OpenTunnel)
    download = request("GET", "/1/index.html", Cookie=f"webvpn={LIVE}")
    assert sent(Connection(portal).receive(download, 0)).startswith(b"HTTP/1.1 200")


def test_a_browser_gets_pages_of_logins_that_are_under_way_only(make_portal):
    portal = make_portal(has_browser_pages=True)
    page = request("GET", f"{min(PATHS)}?token=x")
    connection = Connection(portal)
    assert isinstance(connection.receive(page, 0)[0], ShowPage)
    assert sent(
        connection.page_shown(HttpResponse(302, "Found", (("Location", "https://idp.test/"),), b""))
    ).startswith(b"HTTP/1.1 302")
    stranger = Connection(portal)
    stranger.receive(page, 0)
    assert sent(stranger.page_shown(HttpResponse(400, "Bad Request", (), b"no such login"))).startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize("cut", [1, 7])
def test_pieces_make_no_difference(make_portal, cut):
    data = request("POST", f"/?{SECRET}", INIT)
    connection, answer = Connection(make_portal()), b""
    for start in range(0, len(data), cut):
        answer += sent(connection.receive(data[start : start + cut], 0))
    assert b'name="username"' in answer
