# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins by RADIUS against a scripted server: what is sent, and what each answer means."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from tests.vpn_frontend.auth.scripted import outcome_of
from tests.vpn_frontend.radius.conftest import clock, events, make_servers, start_server  # noqa: F401 - fixtures
from tests.vpn_frontend.radius.scripted_server import (
    accept,
    attribute,
    build_answer,
    challenge,
    reject,
    silence,
    vendor_attribute,
)
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.radius.grant import GrantError
from vpn_frontend.auth.radius.method import MAX_ROUNDS, RadiusMethod, RadiusState
from vpn_frontend.auth.result import WRONG, Accepted, Challenge, FirstForm, Refused, Unavailable
from vpn_frontend.ports import UserRecord
from vpn_frontend.protocol.login_attempts import MAX_STATE
from vpn_frontend.protocol.login_form import FieldKind
from vpn_frontend.settings import RadiusSettings
from vpn_frontend.testing import MemoryDirectory

pytestmark = pytest.mark.asyncio

LOGIN = LoginRequest("alice", "secret", "", ip_address("192.0.2.1"), "AnyConnect 9.01")
STAFF = attribute(25, b"OU=staff;ops")


@pytest.fixture
def make_method(start_server, make_servers):  # noqa: F811
    async def make(*script, users=(), target=None, **settings):
        server = await start_server(*script)
        servers = make_servers(server.target(**(target or {})))
        method = RadiusMethod(servers, replace(RadiusSettings(), **settings), MemoryDirectory(users))
        return method, server

    return make


async def begin(method, login=LOGIN):
    return await outcome_of(method.begin(login))


async def answer(method, challenged, code, name="secondary_password"):
    return await outcome_of(method.answer(challenged.state, {name: code}))


async def test_what_an_access_request_says(make_method):
    method, server = await make_method(accept(), nas_identifier="gate", default_realm="example.org")
    await begin(method)
    [packet] = server.decoded()
    assert packet["User-Name"] == ["alice@example.org"]
    assert packet.PwDecrypt(packet["User-Password"][0]) == "secret"
    assert packet["NAS-Identifier"] == ["gate"]
    assert packet["NAS-IP-Address"] == ["127.0.0.1"]
    assert packet["Calling-Station-Id"] == ["192.0.2.1"]
    assert packet["Connect-Info"] == ["AnyConnect 9.01"]
    assert (packet["Service-Type"], packet["NAS-Port-Type"]) == ([8], [0])
    assert len(packet["Acct-Session-Id"][0]) == 16
    assert packet.verify_message_authenticator()
    assert "State" not in packet


async def test_the_first_request_of_a_client_is_answered_by_the_form(make_method):
    method, server = await make_method(accept())
    assert method.begin(replace(LOGIN, submitted=False)) == FirstForm()
    assert server.requests == []


async def test_a_user_with_a_realm_keeps_it(make_method):
    method, server = await make_method(accept(), default_realm="example.org")
    await begin(method, replace(LOGIN, username="alice@other"))
    assert server.decoded()[0]["User-Name"] == ["alice@other"]


async def test_an_accept_logs_in_a_user_that_the_directory_need_not_have(make_method):
    method, server = await make_method(accept(STAFF))
    accepted = await begin(method)
    assert accepted.user == UserRecord("alice", groups=("staff", "ops"), external=True)
    assert accepted.groups == ("staff", "ops")
    assert accepted.remote.session_id == server.decoded()[0]["Acct-Session-Id"][0]
    assert (accepted.remote.name, accepted.remote.classes) == ("alice", (b"OU=staff;ops",))
    assert accepted.remote.overrides == {}


@pytest.mark.parametrize(
    "more",
    [
        vendor_attribute(9, 1, b"x" * 247),
        vendor_attribute(99999, 255, b""),
        attribute(26, b"\0\0"),
        attribute(26, b"\0\0\1\x37\x1c\xff"),
        attribute(245, b"x" * 253),
        attribute(25, b"x" * 253),
        attribute(18, b"x" * 253) * 8,
    ],
    ids=[
        "longest of a vendor",
        "unknown vendor",
        "no vendor",
        "cut vendor",
        "unknown",
        "longest Class",
        "long message",
    ],
)
async def test_what_this_server_does_not_use_changes_nothing(make_method, more):
    method, _ = await make_method(accept(more + STAFF), group_config=True)
    accepted = await begin(method)
    assert (accepted.groups, accepted.remote.overrides) == (("staff", "ops"), {})


async def test_a_record_of_the_directory_holds(make_method):
    method, _ = await make_method(accept(STAFF), users=[UserRecord("alice", groups=("vpn",), enabled=False)])
    accepted = await begin(method)
    assert not accepted.user.enabled, "the authenticator refuses it"
    assert accepted.groups == ("staff", "ops", "vpn")


async def test_settings_are_taken_only_where_the_operator_says_so(make_method):
    pushed = attribute(27, (3600).to_bytes(4, "big")) + attribute(85, (300).to_bytes(4, "big"))
    method, _ = await make_method(accept(pushed))
    assert (await begin(method)).remote.overrides == {}
    method, _ = await make_method(accept(pushed), group_config=True)
    remote = (await begin(method)).remote
    assert (remote.overrides, remote.interim) == ({"session": {"session_timeout": 3600}}, 300)


async def test_a_reject_is_told_in_the_server_s_words_without_controls(make_method):
    method, _ = await make_method(reject())
    assert await begin(method) == Refused(WRONG, "wrong_password")
    method, _ = await make_method(reject(attribute(18, b"Account locked.\r\n\x1b[31m\xff") + STAFF))
    assert (await begin(method)).text == "Account locked.   [31m\ufffd"
    method, _ = await make_method(reject(attribute(18, b"x" * 253) * 9))
    assert len((await begin(method)).text) == 512


async def test_another_service_is_refused(make_method):
    method, _ = await make_method(accept(attribute(6, (6).to_bytes(4, "big"))))
    assert (await begin(method)).reason == "service_type"


@pytest.mark.parametrize("password", ["", "x" * 129, "é" * 65, "a\0b"])
async def test_a_password_that_no_server_takes_is_not_sent(make_method, password):
    method, server = await make_method(accept())
    assert await begin(method, replace(LOGIN, password=password)) == Refused(WRONG, "wrong_password")
    assert await begin(method, replace(LOGIN, username="u" * 254)) == Refused(WRONG, "wrong_password")
    assert server.requests == []


async def test_two_rounds(make_method):
    method, server = await make_method(challenge(b"\1\0state", b"Code?"), challenge(b"2", b"Next code?"), accept(STAFF))
    first = await begin(method)
    [field] = first.form.fields
    assert (first.form.message, field.name, field.kind) == ("Code?", "secondary_password", FieldKind.PASSWORD)
    second = await answer(method, first, "111")
    assert second.form.message == "Next code?"
    accepted = await answer(method, second, "222", name="password")
    assert isinstance(accepted, Accepted)
    packets = server.decoded()
    assert [packet.PwDecrypt(packet["User-Password"][0]) for packet in packets] == ["secret", "111", "222"]
    assert [packet["State"] for packet in packets[1:]] == [[b"\1\0state"], [b"2"]]
    assert {packet["User-Name"][0] for packet in packets} == {"alice"}
    assert {packet["Acct-Session-Id"][0] for packet in packets} == {accepted.remote.session_id}


async def test_the_server_may_have_the_reply_shown(make_method):
    method, _ = await make_method(challenge(b"1", b"Favourite colour?", attribute(76, (1).to_bytes(4, "big"))))
    assert (await begin(method)).form.fields[0].kind is FieldKind.TEXT


async def test_a_reject_after_a_challenge_begins_the_login_again(make_method):
    method, _ = await make_method(challenge(b"1"), reject())
    assert await answer(method, await begin(method), "0") == Refused(WRONG, "wrong_password")


async def test_a_challenge_goes_back_to_its_server_only(start_server, make_servers, clock):  # noqa: F811
    first, second = await start_server(silence), await start_server(challenge(b"1"), silence)
    servers = make_servers(first.target(timeout=0.2), second.target(timeout=2.0, retries=1))
    method = RadiusMethod(servers, RadiusSettings(), MemoryDirectory())
    challenged = await begin(method)
    assert challenged.state.server == 1
    first.script[:] = [accept()]
    clock.now += 60  # the first server would be asked again
    asked = len(first.requests)
    assert isinstance(await answer(method, challenged, "1"), Unavailable)
    assert len(first.requests) == asked


@pytest.mark.parametrize("state", [b"1", b"2"], ids=["same state", "another state"])
async def test_a_repeated_question_is_a_failure_and_another_try(make_method, state):
    method, server = await make_method(challenge(b"1"), challenge(state), challenge(b"3", b"Next code?"), accept())
    challenged = await begin(method)
    refused = await answer(method, challenged, "0")
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.final, refused.scored) == ("asked_again", False, True)
    assert refused.retry.form == challenged.form
    following = await answer(method, refused.retry, "1")
    assert following.form.message == "Next code?"
    assert isinstance(await answer(method, following, "2"), Accepted)
    assert [packet["State"] for packet in server.decoded()[1:]] == [[b"1"], [state], [b"3"]]


async def test_endless_challenges_end(make_method):
    method, _ = await make_method(*(challenge(b"s" * 253, b"Code %d?" % number) for number in range(MAX_ROUNDS)))
    outcome, rounds = await begin(method), 1
    while isinstance(outcome, Challenge):
        assert len(repr(outcome.state)) < MAX_STATE // 2
        outcome, rounds = await answer(method, outcome, "1"), rounds + 1
    assert (outcome.reason, rounds) == ("too_many_rounds", MAX_ROUNDS)


@pytest.mark.parametrize(
    "answers",
    [
        challenge(b"1", b""),
        challenge(b""),
        challenge(b"1", b"Code?", attribute(24, b"2")),
        lambda request: [build_answer(request, 11, attribute(18, b"Code?"))],
        challenge(b"1", b"\0\1\2"),
        challenge(b"1", b"Code?", attribute(76, b"1")),
        accept(attribute(6, b"2")),
    ],
    ids=["no message", "empty State", "two States", "no State", "no text", "bad Prompt", "bad Service-Type"],
)
async def test_an_answer_without_sense_is_an_error_and_no_login(make_method, answers):
    method, _ = await make_method(answers)
    with pytest.raises(GrantError):
        await begin(method)


async def test_a_server_that_does_not_answer_makes_the_method_unavailable(make_method):
    method, _ = await make_method(silence, target={"timeout": 0.1})
    assert isinstance(await begin(method), Unavailable)


async def test_a_state_shows_no_secret_and_no_foreign_state_is_taken(make_method):
    method, _ = await make_method(challenge(b"round-secret"))
    challenged = await begin(method)
    assert isinstance(challenged.state, RadiusState)
    assert "secret" not in repr(challenged.state)
    with pytest.raises(TypeError):
        method.answer(object(), {})
