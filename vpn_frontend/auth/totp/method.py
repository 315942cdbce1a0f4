# SPDX-License-Identifier: GPL-3.0-or-later
"""The method ``totp``: a code of an authenticator app, or a backup code, of a user whom another method has accepted.

The code is asked for in a second form, or comes with the first form in the field ``secondary_password``. openconnect
fills a field of that name by itself (``--token-mode=totp``). Its second try sends the code of the next step.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from sentry_engine.records import dataclass
from vpn_frontend.auth.result import WRONG, Accepted, Challenge, Pending, Refused, Unavailable
from vpn_frontend.auth.totp.codes import clean_code, read_backup_code
from vpn_frontend.protocol.login_form import CODE, Field, FieldKind, Form

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from vpn_frontend.auth.method import LoginRequest
    from vpn_frontend.auth.result import Outcome
    from vpn_frontend.auth.second_factors import SecondFactors
    from vpn_frontend.auth.totp.secret import OtpSecret
    from vpn_frontend.ports import UserRecord

MAX_WAITING = 1024  # checks at a time; further ones are refused at once with a text
DEADLINE = 10.0  # seconds for one check
LOGIN_SIZE = 16  # bytes of the random value that names a login
CODE_FORM = Form(
    (Field(CODE, FieldKind.PASSWORD, "Code:"),),
    message="Please enter the code of your authenticator app.",
    title="Code",
)
NOT_ENROLLED = "This account needs a second factor, and none is set up. Please ask your administrator."
WRONG_CODE = "Login failed: wrong code."
USED_CODE = "This code was used already. Please wait for the next one."

Required = Literal["enrolled", "all"] | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """The user who is asked for a code, in which login."""

    user: UserRecord
    login: str


class TotpMethod:
    """``required``: who must be enrolled: ``all`` users, the members of groups, or no others (``enrolled``).

    Enrolled users are always asked. ``with_first_form``: the code comes with user name and password; then one text
    stands for every failure. ``clock`` is Unix time.
    """

    name = "totp"
    backend = "second factors"

    def __init__(
        self,
        factors: SecondFactors,
        *,
        required: Required = "enrolled",
        with_first_form: bool = False,
        max_waiting: int = MAX_WAITING,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._factors = factors
        self._required: Collection[str] = required if isinstance(required, tuple) else ()
        self._all = required == "all"
        self._with_first_form = with_first_form
        self._max_waiting = max_waiting
        self._waiting = 0
        self._clock = clock

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        """Raises ``TypeError`` for a login that no method has accepted before."""
        if login.user is None:
            raise TypeError("a code without a user")
        return Pending(partial(self._bounded, partial(self._begin, login.user, login)))

    def answer(self, state: object, fields: Mapping[str, str]) -> Outcome | Pending:
        if not isinstance(state, Asked):
            raise TypeError(f"a state of {type(state).__name__}")
        code = fields.get(CODE) or fields.get("password", "")
        return Pending(partial(self._bounded, partial(self._answer, state, code)))

    async def _begin(self, user: UserRecord, login: LoginRequest) -> Outcome:
        secret = await self._factors.find_secret(user.name)
        if secret is None:
            return self._judge_not_enrolled(user)
        asked = Asked(user, self._login_of(login))
        if user.code_only and not user.external and login.submitted and login.password:
            return await self._check(asked, secret, login.password)
        if not self._with_first_form or not login.submitted:
            return Challenge(CODE_FORM, asked)
        return await self._check(asked, secret, login.fields.get(CODE, ""))

    async def _answer(self, asked: Asked, code: str) -> Outcome:
        secret = await self._factors.find_secret(asked.user.name)
        if secret is None:  # an operator has reset it since the form was shown
            return self._judge_not_enrolled(asked.user)
        return await self._check(asked, secret, code)

    def _login_of(self, login: LoginRequest) -> str:
        """A random value of this login: the server's own, or of the context cookie that came with the first form."""
        if self._with_first_form and login.context:
            return hashlib.blake2b(login.context.encode(), digest_size=LOGIN_SIZE).hexdigest()
        return secrets.token_hex(LOGIN_SIZE)

    async def _check(self, asked: Asked, secret: OtpSecret, text: str) -> Outcome:
        code, user = clean_code(text), asked.user
        step = secret.find_step(text, self._clock())
        if step is not None:
            if await self._factors.use_step(user.name, step, asked.login):
                return _accept(user)
            return self._refuse(asked, USED_CODE, "code_used")
        backup_code = read_backup_code(code)
        if backup_code is not None and await self._factors.use_backup_code(user.name, backup_code, asked.login):
            return _accept(user)
        return self._refuse(asked, WRONG_CODE, "wrong_code")

    def _refuse(self, asked: Asked, text: str, reason: str) -> Refused:
        if self._with_first_form:
            return Refused(WRONG, reason)
        return Refused(text, reason, retry=Challenge(CODE_FORM, asked))

    def _judge_not_enrolled(self, user: UserRecord) -> Outcome:
        if user.code_only or self._all or not set(user.groups).isdisjoint(self._required):
            return Refused(NOT_ENROLLED, "totp_not_enrolled", final=True, scored=False)
        return Accepted(user, user.groups)

    async def _bounded(self, check: Callable[[], Awaitable[Outcome]]) -> Outcome:
        if self._waiting >= self._max_waiting:
            return Unavailable("Too many logins at the moment. Please try again in a few seconds.")
        self._waiting += 1
        try:
            async with asyncio.timeout(DEADLINE):
                return await check()
        finally:
            self._waiting -= 1


def _accept(user: UserRecord) -> Accepted:
    """A code was right: also for a user who has no password."""
    return Accepted(replace(user, code_only=False) if user.code_only else user, user.groups)
