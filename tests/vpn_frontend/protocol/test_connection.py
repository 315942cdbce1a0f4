# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins as clients make them, over one connection or several, and input that breaks one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.protocol.connection import (
    PHONE_PATHS,
    CheckLogin,
    Close,
    Connection,
    EndSession,
    LoginShape,
    OpenTunnel,
    PortalConfig,
    Send,
)
from vpn_frontend.protocol.login_attempts import LoginAttempts
from vpn_frontend.protocol.login_form import Field, FieldKind, Form

COOKIE = "ab" * 32
INIT = b'<config-auth client="vpn" type="init"><version who="vpn">v9.01</version></config-auth>'
REPLY = (
    b'<config-auth client="vpn" type="auth-reply"><auth><username>alice</username><password>secret</password></auth>'
    b"<group-select>%s</group-select></config-auth>"
)


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


def get(path, method="GET"):
    return f"{method} {path} HTTP/1.1\r\nHost: vpn\r\n\r\n".encode()


def test_openconnect_logs_in_and_opens_its_tunnel_on_one_connection(portal):
    connection = Connection(portal)
    form = sent(connection.receive(post(INIT, X_Aggregate_Auth="1"), 0))
    assert form.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'name="username"' in form
    [check] = connection.receive(post(REPLY % b"", "/auth", User_Agent="Open AnyConnect VPN Agent v9.01"), 1)
    assert isinstance(check, CheckLogin)
    assert (check.message.username, check.message.password, check.user_agent) == (
        "alice",
        "secret",
        "Open AnyConnect VPN Agent v9.01",
    )
    assert b"webvpn=" + COOKIE.encode() in sent(connection.login_granted(COOKIE))
    [tunnel] = connection.receive(
        b"CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: vpn\r\nCookie: webvpncontext=1; webvpn=" + COOKIE.encode()
        + b"\r\nX-CSTP-Base-MTU: 1500\r\n\r\nSTF", 2
    )  # fmt: skip
    assert isinstance(tunnel, OpenTunnel)
    assert (tunnel.cookie, tunnel.request.base_mtu) == (COOKIE, 1500)
    head, early = connection.tunnel_granted((("X-CSTP-MTU", "1400"),))
    assert head == b"HTTP/1.1 200 CONNECTED\r\nX-CSTP-MTU: 1400\r\n\r\n"
    assert early == b"STF"
    assert connection.receive(b"late", 3) == []


def test_a_user_agent_is_made_printable_and_bounded(portal):
    message = post(REPLY % b"", "/auth", User_Agent="AnyConnect \x9b2J" + "x" * 999)
    [check] = Connection(portal).receive(message, 0)
    assert check.user_agent == ("AnyConnect ??2J" + "x" * 999)[:256]


def test_a_client_without_xml_logs_in(portal):
    connection = Connection(portal)
    assert b'name="password"' in sent(connection.receive(get("/"), 0))
    form = b"username=alice&password=secret&group%5flist="
    [check] = connection.receive(post(form, "/auth", Content_Type="application/x-www-form-urlencoded"), 0)
    assert (check.message.username, check.message.password) == ("alice", "secret")


def test_wrong_passwords_show_the_form_until_attempts_run_out_over_connections(portal):
    cookie = ""
    for attempt in range(3):
        connection = Connection(portal)
        headers = {"Cookie": f"webvpncontext={cookie}"} if cookie else {}
        connection.receive(post(REPLY % b"", "/auth", **headers), attempt)
        effects = connection.login_refused("Wrong.", attempt)
        answer = effects[0].data
        assert b'param1="Wrong."' in answer
        if attempt < 2:
            assert b"username" in answer
            assert len(effects) == 1
            cookie = answer.partition(b"webvpncontext=")[2].partition(b";")[0].decode()
        else:
            assert b"<input" not in answer
            assert isinstance(effects[1], Close)
    assert len(portal.logins) == 0


def test_a_final_refusal_ends_it_at_once(portal):
    connection = Connection(portal)
    connection.receive(post(REPLY % b""), 0)
    send, close = connection.login_refused("Blocked for 300 seconds.", 0, final=True)
    assert b"Blocked for 300 seconds." in send.data
    assert b"Connection: close" in send.data
    assert isinstance(close, Close)
    assert connection.over


def test_unavailable_is_a_503_with_its_reason(portal):
    connection = Connection(portal)
    connection.receive(post(REPLY % b""), 0)
    send, close = connection.unavailable("Too many logins.", 10)
    assert send.data.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nX-Reason: Too many logins.\r\n" in send.data
    assert b"\r\nRetry-After: 10\r\n" in send.data
    assert isinstance(close, Close)


@pytest.mark.parametrize("path", ["/CSCOSSLC/tunnel", "CSCOSSLC/tunnel"])
def test_connect_without_a_cookie_is_refused(portal, path):
    send, close = Connection(portal).receive(get(path, "CONNECT"), 0)
    assert send.data.startswith(b"HTTP/1.1 401 Cookie is not acceptable\r\n")
    assert isinstance(close, Close)


def test_connect_to_another_path_is_not_found(portal):
    assert Connection(portal).receive(get("192.0.2.1:22", "CONNECT"), 0)[0].data.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    "path",
    ["/1/index.html", "/1/Linux", "/1/Linux_64", "/1/Windows", "/1/Windows_ARM64", "/1/Darwin_i386",
     "/1/VPNManifest.xml", "/VPNManifest.xml", "/1/binaries/update.txt", "/1/binaries/vpndownloader.sh",
     "/+CSCOT+/translation-table?textdomain=AnyConnect&type=manifest", "/+CSCOT+/oem-customization"],
)  # fmt: skip
def test_the_downloads_of_anyconnect_are_there(portal, path):
    assert sent(Connection(portal).receive(get(path), 0)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/../etc/passwd", "/+CSCOU+/../+CSCOE+/files", "/1/", "/profiles/../x", "/admin", "//"]
)
def test_everything_else_is_not_found(portal, path):
    connection = Connection(portal)
    assert sent(connection.receive(get(path), 0)).startswith(b"HTTP/1.1 404 ")
    assert sent(connection.receive(post(INIT, path), 0)).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_refused(portal, method):
    assert Connection(portal).receive(get("/", method), 0)[0].data.startswith(b"HTTP/1.1 405 ")


def test_logging_out_ends_the_session_in_both_ways(portal):
    ended, answer = Connection(portal).receive(
        post(b'<config-auth type="logout"><session-token>abc</session-token></config-auth>'), 0
    )
    assert ended == EndSession("abc")
    assert b"webvpn=; Expires=" in answer.data
    request = b"GET /logout HTTP/1.1\r\nHost: vpn\r\nCookie: webvpn=def\r\n\r\n"
    assert Connection(portal).receive(request, 0)[0] == EndSession("def")


def test_groups_by_form_and_by_path():
    portal = PortalConfig(LoginAttempts(240), attempts=3, groups=("staff", "B\u00fcro"), certificate_sha1="")
    connection = Connection(portal)
    settled = sent(connection.receive(get("/staff"), 0))
    assert b'action="/staff"' in settled
    assert b"<select" not in settled
    assert 'label="GROUP:"><option value="B\u00fcro"'.encode() in sent(
        connection.receive(post(b'<config-auth type="init"><group-select>B\xc3\xbcro</group-select></config-auth>'), 0)
    )
    [check] = connection.receive(post(REPLY % b"", "/staff"), 0)
    assert check.group == "staff"
    assert b"no such group" in sent(Connection(portal).receive(post(REPLY % b"others", "/"), 0))


def test_a_group_of_a_certificate_need_not_be_offered_and_is_named_in_reply_to_its_form():
    portal = replace(
        PortalConfig(LoginAttempts(240), attempts=3, groups=("staff",), certificate_sha1="", no_group_label="(none)"),
        shape=LoginShape(begins_at_init=True, has_form=False),
        any_group=True,
    )
    connection = Connection(portal)
    [check] = connection.receive(post(INIT), 0)
    assert (check.group, check.message.fields) == ("", {})
    select = Field("group_list", FieldKind.SELECT, "GROUP:", "(none)", ("(none)", "ops"))
    shown = sent(connection.login_to_begin(Form((select,), "Please select your group.")))
    assert b"Please select your group." in shown
    assert b"webvpncontext" not in shown, "nothing is kept"
    for named, group in ((b"ops", "ops"), (b"(none)", "")):
        reply = b'<config-auth type="auth-reply"><auth/><group-select>%s</group-select></config-auth>' % named
        [check] = Connection(portal).receive(post(reply), 0)
        assert (check.group, check.submitted, check.message.fields) == (group, False, {"group_list": named.decode()})


@pytest.mark.parametrize("begins", [False, True], ids=["form", "init"])
def test_a_group_that_is_not_offered_may_be_named_where_that_is_configured(begins):
    shape = LoginShape(begins_at_init=begins)
    groups = {"groups": ("staff",), "any_group": True, "shape": shape}
    connection = Connection(PortalConfig(LoginAttempts(240), attempts=3, certificate_sha1="", **groups))
    named = b'<config-auth type="init"><group-select>hidden</group-select></config-auth>'
    effects = connection.receive(post(named), 0)
    if begins:
        assert effects[0].group == "hidden"
        effects = connection.login_to_begin()
    shown = sent(effects)
    assert b'<option value="staff">staff</option>' in shown
    assert b"hidden" not in shown, "one client's word is not offered"
    [check] = Connection(connection._portal).receive(post(REPLY % b"hidden"), 0)
    assert check.group == "hidden"


def test_groups_are_offered_by_their_labels_and_known_ones_by_path_too():
    portal = PortalConfig(
        LoginAttempts(240),
        attempts=3,
        groups=("staff", "ops"),
        certificate_sha1="",
        labels=(("staff", "The <staff>"),),
        no_group_label="(none)",
        path_groups=frozenset({"staff", "night shift"}),
    )
    form = sent(Connection(portal).receive(get("/"), 0))
    assert b'<option value="(none)">(none)</option>' in form
    assert b'<option value="staff">The &lt;staff&gt;</option><option value="ops">ops</option>' in form
    for named, group in (
        (b"(none)", ""),
        (b"staff", "staff"),
        (b"The &lt;staff>", "staff"),
        (b"night shift", "night shift"),
    ):
        [check] = Connection(portal).receive(post(REPLY % named, "/"), 0)
        assert check.group == group
    by_path = sent(Connection(portal).receive(get("/night%20shift"), 0))
    assert b'action="/night%20shift"' in by_path
    assert b"<select" not in by_path
    [check] = Connection(portal).receive(post(REPLY % b"staff", "/night%20shift"), 0)
    assert check.group == "night shift"
    assert b"404" in sent(Connection(portal).receive(get("/others"), 0))


def test_a_reply_without_a_name_or_password_gets_the_form_again(portal):
    bare = b'<config-auth type="auth-reply"><auth><username></username></auth></config-auth>'
    assert b"<form" in sent(Connection(portal).receive(post(bare), 0))


@pytest.mark.parametrize(
    "request_", [b"\x16\x03\x01\0\r\n\r\n", post(b"<!DOCTYPE x><config-auth/>"), post(b"<"), get("/") + get("/")]
)
def test_a_broken_request_is_answered_once_and_closed(portal, request_):
    connection = Connection(portal)
    effects = connection.receive(request_, 0)
    assert effects[0].data.startswith(b"HTTP/1.1 400 ")
    assert isinstance(effects[1], Close)
    assert effects[1].reason
    assert connection.receive(get("/"), 0) == []


def test_a_late_answer_to_a_conversation_that_broke_is_nothing(portal):
    for answer in (
        lambda connection: connection.login_granted(COOKIE),
        lambda connection: connection.login_refused("x", 0),
        lambda connection: connection.unavailable("x", 1),
    ):
        connection = Connection(portal)
        connection.receive(post(REPLY % b""), 0)
        assert isinstance(connection.receive(b"more", 0)[-1], Close)
        assert answer(connection) == []


def test_one_connection_may_carry_a_whole_login_of_anyconnect(portal):
    connection = Connection(portal)
    sent(connection.receive(post(INIT), 0))
    connection.receive(post(REPLY % b""), 0)
    sent(connection.login_granted(COOKIE))
    for path in ("/1/index.html", "/1/Windows", "/1/VPNManifest.xml", "/1/binaries/update.txt"):
        assert sent(connection.receive(get(path), 1)).startswith(b"HTTP/1.1 200 ")
    assert not connection.over


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_any_bytes_are_survived(pieces):
    connection = Connection(PortalConfig(LoginAttempts(240), attempts=3, groups=(), certificate_sha1=""))
    for piece in pieces:
        effects = connection.receive(piece, 0)
        assert not connection.over or effects == [] or isinstance(effects[-1], Close)


CODE_FORM = Form((Field("answer", FieldKind.PASSWORD, "Code:"),), message="Code?", id="challenge")
CODE = b'<config-auth client="vpn" type="auth-reply"><auth><password>%s</password></auth></config-auth>'


def context_of(effects):
    return effects[0].data.partition(b"webvpncontext=")[2].partition(b";")[0].decode()


def challenge(portal, state="state", now=0):
    """A login that was asked for a code; its context."""
    connection = Connection(portal)
    connection.receive(post(REPLY % b"", "/auth"), now)
    effects = connection.login_challenged(CODE_FORM, state, now)
    assert b'<auth id="challenge">' in sent(effects)
    return context_of(effects)


def reply(portal, context, body=CODE % b"1", now=0):
    """The effects of a reply over a connection of its own, and the connection."""
    connection = Connection(portal)
    return connection.receive(post(body, "/auth", Cookie=f"webvpncontext={context}"), now), connection


def test_a_challenge_is_answered_over_another_connection(portal):
    context = challenge(portal)
    [check], connection = reply(portal, context)
    assert (check.state, check.message.fields) == ("state", {"password": "1"})
    second = connection.login_challenged(CODE_FORM, "next", 1)
    assert context_of(second) == context
    [check], connection = reply(portal, context, now=2)
    assert check.state == "next"
    assert b"webvpn=" + COOKIE.encode() in sent(connection.login_granted(COOKIE))
    assert len(portal.logins) == 0


def test_the_context_cookie_lives_as_long_as_its_login():
    portal = PortalConfig(LoginAttempts(17), attempts=3, groups=(), certificate_sha1="")
    connection = Connection(portal)
    connection.receive(post(REPLY % b""), 0)
    assert b"; Max-Age=17;" in sent(connection.login_challenged(CODE_FORM, "state", 0))
    connection.receive(post(REPLY % b""), 0)
    assert b"; Max-Age=17;" in sent(connection.login_refused("Wrong.", 0))


def test_a_wrong_answer_is_asked_again_until_attempts_run_out(portal):
    context = challenge(portal, "0")
    for failures in range(1, 3):
        _, connection = reply(portal, context)
        data = sent(connection.login_refused("Wrong code.", 0, retry=(CODE_FORM, str(failures))))
        assert b'param1="Wrong code."' in data
        assert b'name="answer"' in data
        assert portal.logins.find(context, 0).state == str(failures)
    _, connection = reply(portal, context)
    send, close = connection.login_refused("Wrong code.", 0, retry=(CODE_FORM, "3"))
    assert b"<input" not in send.data
    assert isinstance(close, Close)
    assert len(portal.logins) == 0


def test_failures_of_all_rounds_count_together(portal):
    connection = Connection(portal)
    connection.receive(post(REPLY % b""), 0)
    context = context_of(connection.login_refused("Wrong.", 0))
    [check], connection = reply(portal, context, REPLY % b"")
    assert check.state is None
    assert context_of(connection.login_challenged(CODE_FORM, "state", 0)) == context
    _, connection = reply(portal, context)
    assert b'name="username"' in sent(connection.login_refused("Wrong code.", 0)), "the login begins again"
    _, connection = reply(portal, context, REPLY % b"")
    assert isinstance(connection.login_refused("Wrong.", 0)[-1], Close)


def test_an_answer_too_late_or_without_its_context_begins_a_new_login(portal):
    context = challenge(portal)
    for effects, _ in (reply(portal, context, now=240), reply(portal, "00" * 16), reply(portal, "")):
        assert b'name="username"' in sent(effects)
    [check], _ = reply(portal, context, REPLY % b"", now=240)
    assert check.state is None


def test_a_user_name_that_was_not_asked_for_begins_a_new_login(portal):
    [check], connection = reply(portal, challenge(portal), REPLY % b"")
    assert (check.state, check.message.username) == (None, "alice")
    both = Form((*CODE_FORM.fields, Field("username")))
    context = context_of(connection.login_challenged(both, "both", 0))
    [check], _ = reply(portal, context, REPLY % b"")
    assert check.state == "both"


def test_one_answer_of_a_login_is_checked_at_a_time(portal):
    context = challenge(portal)
    [_], first = reply(portal, context)
    for _ in range(3):
        (send, _), _ = reply(portal, context)
        assert send.data.startswith(b"HTTP/1.1 503 ")
    assert b'id="challenge"' in sent(first.login_refused("Wrong.", 0, retry=(CODE_FORM, "again")))
    [check], _ = reply(portal, context)
    assert check.state == "again"


@pytest.mark.parametrize(
    "end",
    [
        lambda connection: connection.closed(),
        lambda connection: connection.unavailable("No answer.", 1),
    ],
)
def test_an_answer_that_got_no_decision_may_be_given_again(portal, end):
    context = challenge(portal)
    [_], connection = reply(portal, context)
    end(connection)
    [check], _ = reply(portal, context)
    assert check.state == "state"


def test_a_late_challenge_to_a_closed_connection_has_no_effect(portal):
    connection = Connection(portal)
    connection.receive(post(REPLY % b""), 0)
    connection.closed()
    assert connection.login_challenged(CODE_FORM, "state", 0) == []
    assert len(portal.logins) == 0


@pytest.mark.parametrize("phones", [False, True])
def test_ip_phones_log_in_at_a_path_of_their_own(portal, phones):
    portal = replace(portal, login_paths=PHONE_PATHS) if phones else portal
    connection = Connection(portal)
    answer = sent([one for one in connection.receive(get("/svc"), 0) if isinstance(one, Send)])
    assert answer.startswith(b"HTTP/1.1 200")
    assert (b'name="username"' in answer) is phones
    assert (b"\r\nSet-Cookie: webvpnlogin=1;" in answer) is phones
    form = b"username=alice&password=secret"
    effects = connection.receive(post(form, "/svc", Content_Type="application/x-www-form-urlencoded"), 0)
    assert isinstance(effects[0], CheckLogin) is phones


def test_a_phone_answers_a_challenge_by_a_form(portal):
    """A user with one-time passwords: the code comes in a second form, with the cookie of the login."""
    portal, kind = replace(portal, login_paths=PHONE_PATHS), "application/x-www-form-urlencoded"
    connection = Connection(portal)
    [check] = connection.receive(post(b"username=alice&password=secret", "/svc", Content_Type=kind), 0)
    assert check.state is None
    context = context_of(connection.login_challenged(CODE_FORM, "state", 0))
    other = Connection(portal)
    answer = post(b"password=123456", "/svc", Content_Type=kind, Cookie=f"webvpncontext={context}")
    [check] = other.receive(answer, 1)
    assert (check.state, check.message.fields) == ("state", {"password": "123456"})
    assert b"webvpn=" + COOKIE.encode() in sent(other.login_granted(COOKIE))
