# SPDX-License-Identifier: GPL-3.0-or-later
"""The method ``bearer``: the token that a client sends with its first request. It asks the user nothing.

What the token says is the client's to keep secret: who has it is the user until it expires.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from vpn_frontend.auth.external_user import find_external_user
from vpn_frontend.auth.oidc.signing_keys import TokenError
from vpn_frontend.auth.result import Accepted, Pending, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.auth.bearer.tokens import BearerTokens
    from vpn_frontend.auth.method import LoginRequest
    from vpn_frontend.auth.result import Outcome
    from vpn_frontend.ports import UserDirectory

DEADLINE = 20.0  # seconds for all requests at the provider
MAX_CHECKS = 256  # at a time
MAX_TOKEN = 8192  # characters
NO_TOKEN = Refused("This server needs a bearer token, and the client sends none.", "no_token", final=True, scored=False)
BAD_TOKEN = Refused("The bearer token is not acceptable.", "bad_token", final=True)


class BearerMethod:
    name = "bearer"
    backend = "identity provider"

    def __init__(self, users: UserDirectory, tokens: BearerTokens) -> None:
        self._users = users
        self._tokens = tokens
        self._checks = 0

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        token = login.offer.bearer
        if login.submitted or not token:
            return NO_TOKEN
        if len(token) > MAX_TOKEN:
            return BAD_TOKEN
        return Pending(partial(self._check, token))

    def answer(self, state: object, _fields: Mapping[str, str]) -> Outcome | Pending:
        raise TypeError(f"a state of {type(state).__name__}: this method asks nothing")

    async def _check(self, token: str) -> Outcome:
        if self._checks >= MAX_CHECKS:
            return Unavailable("Too many logins at the moment. Please try again in a few seconds.")
        self._checks += 1
        try:
            async with asyncio.timeout(DEADLINE):
                identity = await self._tokens.check(token)
        except TokenError:
            return BAD_TOKEN
        finally:
            self._checks -= 1
        user = await find_external_user(self._users, identity.user, identity.groups)
        return Accepted(user, user.groups)
