# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins by the headers of HTTP authentication: Negotiate and Bearer."""

from dataclasses import replace

import pytest

from vpn_frontend.protocol.connection import Connection, LoginShape, PortalConfig, Send, ShowPage
from vpn_frontend.protocol.http import HttpResponse
from vpn_frontend.protocol.login_attempts import LoginAttempts

COOKIE = "ab" * 32
INIT = b'<config-auth client="vpn" type="init"><version who="vpn">v9.01</version></config-auth>'


@pytest.fixture
def portal():
    return PortalConfig(LoginAttempts(240), attempts=3, groups=(), certificate_sha1="00" * 20)


def post(body, path="/", **headers):
    lines = [f"POST {path} HTTP/1.1", "Host: vpn", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def sent(effects):
    assert all(isinstance(effect, Send) for effect in effects)
    return b"".join(effect.data for effect in effects)


NEGOTIATING = {"X_Support_HTTP_Auth": "true"}


def negotiating(portal):
    return Connection(replace(portal, shape=LoginShape(begins_at_init=True)))


def test_a_login_by_http_negotiate_keeps_nothing_until_a_second_token_is_wanted(portal):
    connection = negotiating(portal)
    [check] = connection.receive(post(INIT, **NEGOTIATING), 0)
    assert (check.offer.negotiate, check.offer.negotiate_token) == (True, b"")
    asked = sent(connection.login_negotiated(b"", None, 0))
    assert asked.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"\r\nWWW-Authenticate: Negotiate\r\n" in asked
    assert b"\r\nX-HTTP-Auth-Support: fallback\r\n" in asked
    assert len(portal.logins) == 0
    [check] = connection.receive(post(INIT, Authorization="Negotiate dG9rZW4=", **NEGOTIATING), 1)
    assert check.offer.negotiate_token == b"token"
    asked = sent(connection.login_negotiated(b"more", "state", 1))
    assert b"\r\nWWW-Authenticate: Negotiate bW9yZQ==\r\n" in asked
    context = asked.partition(b"webvpncontext=")[2].partition(b";")[0].decode()
    other = negotiating(portal)  # the next token may come over another connection
    cookie = f"webvpncontext={context}"
    [check] = other.receive(post(INIT, Authorization="Negotiate bGFzdA==", Cookie=cookie, **NEGOTIATING), 2)
    assert (check.state, check.message.fields) == ("state", {"authorization": "bGFzdA=="})
    complete = sent(other.login_granted(COOKIE, negotiate=b"mutual"))
    assert b"\r\nWWW-Authenticate: Negotiate bXV0dWFs\r\n" in complete
    assert len(portal.logins) == 0


def test_the_form_after_a_refused_ticket_shows_why(portal):
    connection = negotiating(portal)
    connection.receive(post(INIT, Authorization="Negotiate dG9rZW4=", **NEGOTIATING), 0)
    form = sent(connection.login_to_begin(error="The Kerberos ticket has expired."))
    assert b"ticket has expired" in form
    assert b'name="password"' in form


@pytest.mark.parametrize("value", ["Basic YTpi", "Negotiate", "Negotiate ", "NegotiateX dG9rZW4="])
def test_other_credentials_are_no_token(portal, value):
    [check] = negotiating(portal).receive(post(INIT, Authorization=value, **NEGOTIATING), 0)
    assert check.offer.negotiate_token == b""


def test_a_login_that_takes_a_bearer_token_alone_is_asked_for_it_by_status(portal):
    connection = Connection(replace(portal, shape=LoginShape(begins_at_init=True, has_form=False, needs_bearer=True)))
    [check] = connection.receive(post(INIT), 0)
    assert check.offer.bearer == ""
    asked = sent(connection.login_refused("No token", 0, final=True))
    assert asked.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"\r\nWWW-Authenticate: Bearer\r\n" in asked
    [check] = connection.receive(post(INIT, Authorization="Bearer a.b.c"), 1)
    assert check.offer.bearer == "a.b.c"
    assert "a.b.c" not in repr(check), "a token is a secret"
    assert b"webvpn=" + COOKIE.encode() in sent(connection.login_granted(COOKIE))


def test_beside_a_bearer_token_the_body_of_a_form_says_nothing(portal):
    connection = Connection(replace(portal, shape=LoginShape(begins_at_init=True, has_form=False, needs_bearer=True)))
    [check] = connection.receive(post(b"config-auth.xml", Authorization="Bearer=d"), 1)
    assert (check.message.kind, check.offer.bearer) == ("init", "d")
    [refusal, _] = Connection(portal).receive(post(b"config-auth.xml", Authorization="Bearer=d"), 1)
    assert refusal.data.startswith(b"HTTP/1.1 400 ")


def test_a_request_for_a_kdc_is_a_page_of_its_path_alone(portal):
    connection = Connection(replace(portal, kdc_paths=frozenset({"/KdcProxy"})))
    [show] = connection.receive(post(b"\x30\x00", "/KdcProxy", Content_Type="application/kerberos"), 0)
    assert isinstance(show, ShowPage)
    assert show.request.body == b"\x30\x00"
    assert sent(connection.page_shown(HttpResponse(200, "OK", (), b"answer"))).endswith(b"answer")
    assert sent(connection.receive(post(b"", "/Other"), 1)).startswith(b"HTTP/1.1 404 ")
