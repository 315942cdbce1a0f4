# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins of several rounds over the gateway in memory, each round over a connection of its own."""

import asyncio

import pytest

from tests.vpn_frontend.auth.scripted import Codes
from tests.vpn_frontend.connections.front import REPLY, Front, cookie_of
from vpn_frontend.auth.result import Pending

CODE = '<config-auth type="auth-reply"><auth><password>{}</password></auth></config-auth>'


class Rounds(Front):
    """A password and then two codes are needed."""

    def __init__(self, lab, users, codes):
        super().__init__(lab, users, required=[codes])

    async def post(self, body, context=""):
        """Send ``body`` over a new connection, which the client closes after the response."""
        connection = self.gateway.connect()
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
