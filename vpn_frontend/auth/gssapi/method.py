# SPDX-License-Identifier: GPL-3.0-or-later
"""The method ``gssapi``: the Kerberos ticket that a client presents by HTTP Negotiate. It asks the user nothing.

A client that can do Negotiate is asked for a token at its first request. One that has no ticket repeats the request
without the offer (openconnect), and another method may take the login.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.auth.external_user import find_external_user
from vpn_frontend.auth.gssapi.acceptor import (
    MAX_ROUNDS,
    MAX_TOKEN,
    AcceptorOverloadError,
    TicketAccepted,
    TokenWanted,
)
from vpn_frontend.auth.gssapi.principal import PrincipalError, user_of
from vpn_frontend.auth.gssapi.refusals import BAD_TOKEN, NO_TICKET, REFUSALS
from vpn_frontend.auth.result import Accepted, Negotiate, Pending, Refused, Unavailable
from vpn_frontend.protocol.client_offer import NEGOTIATE_FIELD, decode_token

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from vpn_frontend.auth.gssapi.acceptor import Acceptor
    from vpn_frontend.auth.method import LoginRequest
    from vpn_frontend.auth.result import Outcome
    from vpn_frontend.ports import UserDirectory

NOT_A_USER = "The Kerberos ticket is of no user of this server."


@dataclass(frozen=True, slots=True)
class TokenState:
    """``rounds``: tokens of the client so far."""

    context: int
    rounds: int


class GssapiMethod:
    """``realms``: whose users may log in; empty: those of the server's own realm."""

    name = "gssapi"
    backend = "gssapi"

    def __init__(self, users: UserDirectory, acceptor: Acceptor, realms: Collection[str] = ()) -> None:
        self._users = users
        self._acceptor = acceptor
        self._realms = frozenset(realms)

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        if login.submitted or not (login.offer.negotiate or login.offer.negotiate_token):
            return NO_TICKET
        if not login.offer.negotiate_token:
            return Negotiate()
        return self._judge(login.offer.negotiate_token, None)

    def answer(self, state: object, fields: Mapping[str, str]) -> Outcome | Pending:
        if not isinstance(state, TokenState):
            raise TypeError(f"a state of {type(state).__name__}")
        return self._judge(decode_token(fields.get(NEGOTIATE_FIELD, "")), state)

    def _judge(self, token: bytes, state: TokenState | None) -> Outcome | Pending:
        if not token or len(token) > MAX_TOKEN or (state is not None and state.rounds >= MAX_ROUNDS):
            return REFUSALS[BAD_TOKEN]
        return Pending(partial(self._accept, token, state))

    async def _accept(self, token: bytes, state: TokenState | None) -> Outcome:
        try:
            answer = await self._acceptor.accept(token, None if state is None else state.context)
        except AcceptorOverloadError:
            return Unavailable("Too many logins at the moment. Please try again in a few seconds.")
        if isinstance(answer, TokenWanted):
            return Negotiate(answer.token, TokenState(answer.context, 1 if state is None else state.rounds + 1))
        if not isinstance(answer, TicketAccepted):
            return REFUSALS.get(answer.reason, REFUSALS[BAD_TOKEN])
        try:
            name = user_of(answer.principal, answer.realm, self._realms)
        except PrincipalError as error:
            return Refused(NOT_A_USER, error.reason)
        user = await find_external_user(self._users, name)
        return Accepted(user, user.groups, negotiate=answer.token)
