# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins with tickets over HTTP, from the client's bytes to the server's, with a scripted GSSAPI."""

import base64
from ipaddress import ip_address

import pytest

from tests.vpn_frontend.auth.scripted import Scripted
from vpn_frontend.auth.composition import AllOf, AnyOf
from vpn_frontend.auth.gssapi.acceptor import (
    MAX_ROUNDS,
    MAX_TOKEN,
    AcceptorError,
    AcceptorOverloadError,
    TicketAccepted,
    TokenRefused,
    TokenWanted,
)
from vpn_frontend.auth.gssapi.method import GssapiMethod, TokenState
from vpn_frontend.auth.gssapi.refusals import REFUSALS
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.result import Accepted, Challenge, FirstForm, Negotiate, Pending, Refused, Unavailable
from vpn_frontend.ports import UserRecord
from vpn_frontend.protocol.client_offer import NEGOTIATE_FIELD, ClientOffer
from vpn_frontend.protocol.login_form import Form

REALM = "EXAMPLE.ORG"
PASSED = TicketAccepted(f"alice@{REALM}", REALM, b"mutual")
FORM = Challenge(Form((), message="Code?"), 7)


class Directory:
    """One user, who is in a group."""

    def recall(self, name):
        return None

    async def find(self, name):
        return UserRecord("alice", groups=("staff",)) if name == "alice" else None


class Answers:
    """Gives the answers one after the other, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers = iter(answers)
        self.asked = []

    async def accept(self, token, context=None):
        self.asked.append((token, context))
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def login(token=b"", *, negotiate=True, submitted=False):
    offer = ClientOffer(negotiate=negotiate, negotiate_token=token)
    return LoginRequest("", "", "", ip_address("192.0.2.1"), offer=offer, submitted=submitted)


def reply(token):
    return {NEGOTIATE_FIELD: base64.b64encode(token).decode()}


async def outcome_of(result):
    return await result.wait() if isinstance(result, Pending) else result


def test_a_client_is_asked_for_a_token_only_if_it_can_have_one():
    method = GssapiMethod(Directory(), Answers())
    assert method.begin(login()) == Negotiate()
    for request in (login(negotiate=False), login(submitted=True)):
        refused = method.begin(request)
        assert (refused.reason, refused.scored) == ("no_ticket", False)


@pytest.mark.asyncio
async def test_the_ticket_names_the_user_and_the_client_gets_the_servers_token():
    acceptor = Answers(PASSED)
    outcome = await outcome_of(GssapiMethod(Directory(), acceptor).begin(login(b"ticket")))
    assert outcome == Accepted(outcome.user, ("staff",), negotiate=b"mutual")
    assert (outcome.user.name, outcome.user.external) == ("alice", True)
    assert acceptor.asked == [(b"ticket", None)]


@pytest.mark.asyncio
async def test_the_tokens_of_a_login_are_bounded():
    acceptor = Answers(*[TokenWanted(number, b"more") for number in range(MAX_ROUNDS)])
    method = GssapiMethod(Directory(), acceptor)
    wanted = await outcome_of(method.begin(login(b"first")))
    for number in range(1, MAX_ROUNDS):
        assert wanted == Negotiate(b"more", TokenState(number - 1, number))
        wanted = await outcome_of(method.answer(wanted.state, reply(b"next")))
    assert await outcome_of(method.answer(wanted.state, reply(b"last"))) == REFUSALS["bad_token"]
    assert len(acceptor.asked) == MAX_ROUNDS


@pytest.mark.asyncio
@pytest.mark.parametrize("token", [b"", bytes(MAX_TOKEN + 1)], ids=["none", "long"])
async def test_a_round_without_a_token_that_can_be_one_asks_nothing(token):
    method = GssapiMethod(Directory(), Answers())
    assert await outcome_of(method.answer(TokenState(1, 1), reply(token))) == REFUSALS["bad_token"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        *[(TokenRefused(reason), reason) for reason in REFUSALS],
        (TokenRefused("unheard of"), "bad_token"),
        (TicketAccepted("alice@OTHER.ORG", REALM, b""), "foreign_realm"),
        (TicketAccepted(f"alice/admin@{REALM}", REALM, b""), "principal_no_user"),
    ],
)
async def test_each_refusal_has_a_reason_and_words(answer, reason):
    refused = await outcome_of(GssapiMethod(Directory(), Answers(answer)).begin(login(b"ticket")))
    assert isinstance(refused, Refused)
    assert (refused.reason, bool(refused.text)) == (reason, True)


@pytest.mark.asyncio
async def test_an_accepted_realm_has_names_of_its_own():
    acceptor = Answers(TicketAccepted("alice@OTHER.ORG", REALM, b""))
    outcome = await outcome_of(GssapiMethod(Directory(), acceptor, {"OTHER.ORG"}).begin(login(b"ticket")))
    assert outcome.user.name == "alice@other.org"


@pytest.mark.asyncio
async def test_a_busy_helper_and_a_lost_one_are_no_refusals():
    method = GssapiMethod(Directory(), Answers(AcceptorOverloadError("256"), AcceptorError("gone")))
    assert isinstance(await outcome_of(method.begin(login(b"ticket"))), Unavailable)
    with pytest.raises(AcceptorError):  # its supervisor makes it unavailable, and reports it
        await outcome_of(method.begin(login(b"ticket")))


@pytest.mark.asyncio
async def test_a_client_without_a_usable_ticket_gets_the_form_and_the_reason():
    form = Scripted(FirstForm())
    method = AnyOf([GssapiMethod(Directory(), Answers(TokenRefused("replay"))), form])
    assert await outcome_of(method.begin(login(negotiate=False))) == FirstForm()
    assert await outcome_of(method.begin(login(b"ticket"))) == FirstForm(refused=REFUSALS["replay"])


@pytest.mark.asyncio
async def test_the_servers_token_goes_out_with_the_form_that_follows():
    method = AllOf([GssapiMethod(Directory(), Answers(PASSED)), Scripted(FORM)])
    challenge = await outcome_of(method.begin(login(b"ticket")))
    assert challenge.negotiate == b"mutual"
    assert challenge.state.accepted.negotiate == b""
    assert challenge.state.login.offer.negotiate_token == b""
    assert "ticket" not in repr(challenge)
