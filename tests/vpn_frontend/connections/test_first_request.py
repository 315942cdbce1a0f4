# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins that a method begins at the client's first request: an init or a GET."""

import pytest

from tests.vpn_frontend.auth.scripted import CODE_FORM, Codes, Scripted
from tests.vpn_frontend.connections.front import REPLY, Front, cookie_of
from tests.vpn_frontend.connections.test_login_rounds import CODE, context_of
from vpn_frontend.auth.result import Accepted, FirstForm, Refused
from vpn_frontend.protocol.browser_pages import PATHS, page
from vpn_frontend.protocol.connection import LoginShape

INIT = (
    '<config-auth client="vpn" type="init"><capabilities><auth-method>single-sign-on-v2</auth-method></capabilities>'
    "{}</config-auth>"
)


class ByConnection(Scripted):
    """Accepts alice where the client says that it has no certificate problem; asks for a certificate otherwise."""

    def begin(self, login):
        self.logins.append(login)
        if login.offer.certificate_failed:
            return self.result(Refused("No certificate.", "no_certificate", final=True, scored=False))
        return self.result(self.outcome)


@pytest.fixture
def make_front(make_lab, users):
    fronts = []

    def make(*methods, has_form=False):
        shape = LoginShape(begins_at_init=True, has_form=has_form)
        fronts.append(Front(make_lab(), users, methods=methods, shape=shape))
        return fronts[-1]

    yield make
    for front in fronts:
        front.passwords.close()


def request(body, headers="", path="/"):
    return f"POST {path} HTTP/1.1\r\nHost: vpn\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()


async def post(front, body, headers="", path="/"):
    return await front.say(front.gateway.connect(), request(body, headers, path))


@pytest.mark.asyncio
@pytest.mark.parametrize("wait", [False, True], ids=["at once", "waits"])
async def test_an_init_is_answered_with_the_cookie(make_front, users, wait):
    method = ByConnection(Accepted(users["alice"], ()), wait=wait)
    front = make_front(method)
    answer = await post(front, INIT.format(""), "User-Agent: openconnect\r\nX-AnyConnect-STRAP-Pubkey: a2V5\r\n")
    assert cookie_of(answer)
    [login] = method.logins
    assert (login.username, login.submitted, login.user_agent) == ("", False, "openconnect")
    assert (login.offer.methods, login.offer.host, login.offer.strap_key) == ({"single-sign-on-v2"}, "vpn", b"key")


@pytest.mark.asyncio
async def test_a_get_is_answered_too_and_its_client_is_not_asked_for_a_certificate(make_front):
    method = Scripted()
    front = make_front(method)
    assert cookie_of(await front.say(front.gateway.connect(), b"GET / HTTP/1.1\r\nHost: vpn\r\n\r\n"))
    assert method.logins[0].offer.certificate_failed


@pytest.mark.asyncio
async def test_a_login_without_a_form_never_shows_one(make_front):
    front = make_front(ByConnection(Refused("No certificate.", "no_certificate")))
    for body in (INIT.format(""), REPLY.format("alice", "secret"), INIT.format("<client-cert-fail/>")):
        answer = await post(front, body)
        assert b"No certificate." in answer
        assert b"<input" not in answer


@pytest.mark.asyncio
async def test_a_client_is_asked_for_its_certificate(make_front):
    front = make_front(ByConnection(FirstForm(request_certificate=True)))
    answer = await post(front, INIT.format(""))
    assert b"<client-cert-request/>" in answer
    assert b"<form" not in answer
    assert b"Set-Cookie" not in answer
    assert len(front.connections._hosts[""].portal.logins) == 0, "asking costs no memory"


@pytest.mark.asyncio
async def test_a_challenge_may_come_first(make_front, users):
    front = make_front(Codes("1", user=users["alice"]))
    first = await post(front, INIT.format(""))
    assert CODE_FORM.message.encode() in first
    wrong = await post(front, CODE.format("2"), f"Cookie: webvpncontext={context_of(first)}\r\n")
    assert b"Wrong code." in wrong
    assert cookie_of(await post(front, CODE.format("1"), f"Cookie: webvpncontext={context_of(wrong)}\r\n"))


@pytest.mark.asyncio
async def test_a_method_that_needs_the_form_gets_it(make_front):
    method = Scripted(FirstForm())
    front = make_front(method, has_form=True)
    assert b'name="username"' in await post(front, INIT.format(""))
    method.outcome = Refused("Wrong.", "wrong")
    again = await post(front, REPLY.format("alice", "x"), "Cookie: webvpncontext=abc\r\n")
    assert b"Wrong." in again
    assert b'name="username"' in again
    assert [(login.submitted, login.username, login.context) for login in method.logins] == [
        (False, "", ""),
        (True, "alice", "abc"),
    ]


class Pages:
    def __init__(self):
        self.asked = []

    async def show(self, request):
        self.asked.append((request.path, request.query, request.cookie("a")))
        if "fail" in request.query:
            raise ConnectionError("the provider is away")
        return page("Done.")


@pytest.mark.asyncio
@pytest.mark.parametrize("path", sorted(PATHS))
async def test_a_browser_gets_the_pages_of_a_login(make_lab, users, path):
    pages = Pages()
    front = Front(make_lab(), users, pages=pages, has_browser_pages=True)
    try:
        connection = front.gateway.connect()
        answer = await front.say(connection, f"GET {path}?b=1 HTTP/1.1\r\nHost: vpn\r\nCookie: a=2\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Cache-Control: no-store" in answer
        assert b"Content-Security-Policy: default-src 'none'" in answer
        assert pages.asked == [(path, "b=1", "2")]
        assert connection in front.gateway.connections, "a browser keeps its connection"
        front.gateway.say(connection, f"GET {path}?fail HTTP/1.1\r\nHost: vpn\r\n\r\n".encode())
        await front.settle()
        assert connection not in front.gateway.connections, "a fault costs its own connection"
    finally:
        front.passwords.close()


@pytest.mark.asyncio
async def test_without_a_method_for_browsers_there_are_no_pages(make_lab, users):
    front = Front(make_lab(), users)
    try:
        for path in PATHS:
            answer = await front.say(front.gateway.connect(), f"GET {path} HTTP/1.1\r\nHost: vpn\r\n\r\n".encode())
            assert answer.startswith(b"HTTP/1.1 404 ")
    finally:
        front.passwords.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "path"),
    [(INIT.format("<group-select>vault</group-select>"), "/"), (INIT.format(""), "/vault")],
    ids=["chosen in the form", "named by the URL"],
)
async def test_a_group_begins_by_its_own_rules_before_a_secret_is_asked(make_lab, users, body, path):
    method = Scripted(FirstForm(request_certificate=True))
    front = Front(
        make_lab(), users, methods=[method], path_groups={"vault"}, group_shapes={"vault": LoginShape(True, False)}
    )
    assert b'name="password"' in await post(front, INIT.format(""))
    assert method.logins == []
    answer = await post(front, body, path=path)
    assert b"<client-cert-request/>" in answer
    assert b"<input" not in answer
    assert [login.group for login in method.logins] == ["vault"]
    front.passwords.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(("reads", "expected"), [(True, (b"key",)), (False, ())], ids=["read", "off"])
async def test_the_key_that_a_client_shows_at_its_login_is_kept(make_lab, users, reads, expected):
    front = Front(make_lab(), users, reads_strap=reads)
    answer = await post(front, REPLY.format("alice", "secret"), "X-AnyConnect-STRAP-Pubkey: a2V5\r\n")
    assert front.lab.table.find_session(cookie_of(answer)).strap_keys == expected
    front.passwords.close()
