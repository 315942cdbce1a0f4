# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins of several rounds over the gateway in memory, each round over a connection of its own."""

import asyncio

import pytest

from tests.vpn_frontend.auth.scripted import Codes, Scripted
from tests.vpn_frontend.connections.front import REPLY, Front, cookie_of
from vpn_frontend.auth.result import Accepted, Pending
from vpn_frontend.protocol import login_attempts
from vpn_frontend.protocol.connection import LoginShape
from vpn_frontend.protocol.login_attempts import ANSWER_LIFETIME

CODE = '<config-auth type="auth-reply"><auth><password>{}</password></auth></config-auth>'


class Rounds(Front):
    """A password and then two codes are needed."""

    def __init__(self, lab, users, codes):
        super().__init__(lab, users, required=[codes])

    async def post(self, body, context="", address="192.0.2.1"):
        """Send ``body`` over a new connection, which the client closes after the response."""
        connection = self.gateway.connect(address)
        answer = await self.say(connection, self.request(body, context))
        self.gateway.hang_up(connection)
        self.pump()
        return answer

    @staticmethod
    def request(body, context=""):
        cookie = f"Cookie: webvpncontext={context}\r\n" if context else ""
        head = f"POST /auth HTTP/1.1\r\nHost: vpn\r\n{cookie}Content-Length: {len(body)}\r\n\r\n"
        return (head + body).encode()


def context_of(answer):
    return answer.partition(b"webvpncontext=")[2].partition(b";")[0].decode()


@pytest.fixture(params=[False, True], ids=["at once", "waits"])
def make_rounds(request, make_lab, users):
    fronts = []

    def make(**keywords):
        codes = Codes("1", "2", user=users["alice"], wait=request.param)
        fronts.append(Rounds(make_lab(**keywords), users, codes))
        return fronts[-1]

    yield make
    for front in fronts:
        front.passwords.close()


@pytest.mark.asyncio
async def test_a_login_of_three_rounds_over_three_connections(make_rounds):
    front = make_rounds()
    first = await front.post(REPLY.format("alice", "secret"))
    assert b'<auth id="challenge">' in first
    context = context_of(first)
    assert front.lab.events.of("login_accepted") == []
    assert context_of(await front.post(CODE.format("1"), context)) == context
    cookie = cookie_of(await front.post(CODE.format("2"), context))
    assert (await front.open_tunnel(front.gateway.connect(), cookie)).startswith(b"HTTP/1.1 200 CONNECTED\r\n")
    assert [event["user"] for event in front.lab.events.of("login_accepted")] == ["alice"]


@pytest.mark.asyncio
async def test_a_wrong_code_is_asked_again_and_the_third_failure_ends_the_login(make_rounds):
    front = make_rounds()
    context = context_of(await front.post(REPLY.format("alice", "secret")))
    for _ in range(2):
        again = await front.post(CODE.format("x"), context)
        assert b'param1="Wrong code."' in again
        assert context_of(again) == context
    assert b"<input" not in await front.post(CODE.format("x"), context)
    assert b'name="username"' in await front.post(CODE.format("1"), context), "the context is gone"
    assert [event["reason"] for event in front.lab.events.of("login_refused")] == ["wrong_code"] * 3


@pytest.mark.asyncio
async def test_a_second_reply_is_refused_while_one_is_checked(make_rounds, monkeypatch):
    front = make_rounds()
    context = context_of(await front.post(REPLY.format("alice", "secret")))
    decide = asyncio.Event()
    codes = front.required[0]
    answer = type(codes).answer

    def answer_later(self, state, fields):
        async def wait():
            await decide.wait()
            self.wait = False
            return answer(self, state, fields)

        return Pending(wait)

    monkeypatch.setattr(Codes, "answer", answer_later)
    first, second = front.gateway.connect(), front.gateway.connect()
    for connection in (first, second):
        front.gateway.say(connection, front.request(CODE.format("1"), context))
        front.pump()
    assert bytes(front.gateway.sent[second]).startswith(b"HTTP/1.1 503 ")
    assert front.gateway.sent[first] == b""
    decide.set()
    await front.settle()
    assert context_of(bytes(front.gateway.sent[first])) == context


@pytest.mark.asyncio
async def test_a_connection_that_closes_during_a_check_does_not_block_its_login(make_rounds, monkeypatch):
    front = make_rounds()
    context = context_of(await front.post(REPLY.format("alice", "secret")))

    async def hang():
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(Codes, "answer", lambda *_: Pending(hang))
        connection = front.gateway.connect()
        front.gateway.say(connection, front.request(CODE.format("1"), context))
        front.pump()
        front.gateway.hang_up(connection)
        front.pump()
    assert context_of(await front.post(CODE.format("1"), context)) == context


@pytest.mark.asyncio
async def test_a_challenge_times_out(make_rounds):
    front = make_rounds()
    context = context_of(await front.post(REPLY.format("alice", "secret")))
    front.lab.now += 240
    assert b'name="username"' in await front.post(CODE.format("1"), context)


@pytest.mark.asyncio
async def test_a_last_reply_that_is_sent_again_gets_the_same_answer(make_rounds, users):
    """A connection that dies before the client has read the answer: openconnect sends the same POST over a new one."""
    front = make_rounds()
    context = context_of(await front.post(REPLY.format("alice", "secret")))
    await front.post(CODE.format("1"), context)
    accepted = await front.post(CODE.format("2"), context)
    assert await front.post(CODE.format("2"), context) == accepted
    assert len(front.lab.events.of("login_accepted")) == 1
    assert b"200 CONNECTED" in await front.open_tunnel(front.gateway.connect(), cookie_of(accepted))


@pytest.mark.asyncio
async def test_a_refusal_that_ended_a_login_is_given_again(make_rounds):
    front = make_rounds()
    context = context_of(await front.post(REPLY.format("alice", "secret")))
    refusals = [await front.post(CODE.format("x"), context) for _ in range(4)]
    assert b"<input" not in refusals[2]
    assert refusals[3] == refusals[2]
    assert len(front.lab.events.of("login_refused")) == 3, "it is no further failure"


@pytest.mark.asyncio
async def test_the_answer_is_for_the_same_reply_of_the_same_login_and_not_for_long(make_rounds):
    front = make_rounds()
    first, other = [context_of(await front.post(REPLY.format("alice", "secret"))) for _ in range(2)]
    await front.post(CODE.format("1"), first)
    accepted = await front.post(CODE.format("2"), first)
    assert cookie_of(accepted)
    for body, context in ((CODE.format("2"), other), (CODE.format("1"), first), (CODE.format("2"), "00" * 16)):
        assert b"webvpn=" not in await front.post(body, context)
    front.lab.now += ANSWER_LIFETIME
    assert b"webvpn=" not in await front.post(CODE.format("2"), first)


@pytest.mark.asyncio
async def test_answers_are_bounded(make_rounds, monkeypatch):
    monkeypatch.setattr(login_attempts, "MAX_ANSWERS", 2)
    front = make_rounds()
    contexts = [context_of(await front.post(REPLY.format("alice", "secret"))) for _ in range(3)]
    for code in ("1", "2"):
        answers = [await front.post(CODE.format(code), context) for context in contexts]
    assert len(front.connections._hosts[""].portal.logins._answers) == 2
    again = [await front.post(CODE.format("2"), context) for context in contexts]
    assert [one == other for one, other in zip(answers, again, strict=True)] == [False, True, True]


@pytest.mark.asyncio
async def test_a_code_may_come_with_the_first_form(make_lab, users):
    class Beside(Scripted):
        def begin(self, login):
            self.logins.append((login.fields.get("secondary_password"), login.context))
            return Accepted(users["alice"], ())

    codes = Beside()
    front = Front(make_lab(), users, required=[codes], shape=LoginShape(form_has_code=True))
    try:
        connection = front.gateway.connect()
        form = await front.say(connection, b"GET / HTTP/1.1\r\nHost: vpn\r\n\r\n")
        assert form.index(b'name="password"') < form.index(b'name="secondary_password"')
        context = context_of(form)
        body = REPLY.format("alice", "secret").replace("</auth>", "<secondary_password>1</secondary_password></auth>")
        first = await front.say(front.gateway.connect(), Rounds.request(body, context))
        again = await front.say(front.gateway.connect(), Rounds.request(body, context))
        assert cookie_of(first) == cookie_of(again) != ""
        assert codes.logins == [("1", context)], "sent again, it is not checked again"
    finally:
        front.passwords.close()


@pytest.mark.asyncio
async def test_many_challenges_of_one_source_end_no_login_of_another(make_rounds, monkeypatch):
    monkeypatch.setattr(login_attempts, "MAX_LOGINS", 4)
    front = make_rounds()
    context = context_of(await front.post(REPLY.format("alice", "secret")))
    for _ in range(8):
        await front.post(REPLY.format("alice", "secret"), address="198.51.100.7")
    assert context_of(await front.post(CODE.format("1"), context)) == context
    assert cookie_of(await front.post(CODE.format("2"), context))
