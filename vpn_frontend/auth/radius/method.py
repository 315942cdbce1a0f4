# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins by RADIUS (RFC 2865): password, challenge rounds, groups and settings of the server.

A challenge goes back to the server that gave it, with its State. One that repeats the question counts as a failure, as
in ocserv: otherwise codes could be guessed at no cost. Attributes of a Reject are not read, except its text.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.auth.external_user import find_external_user
from vpn_frontend.auth.radius import grant
from vpn_frontend.auth.result import WRONG, Accepted, Challenge, FirstForm, Pending, Refused, Unavailable
from vpn_frontend.ports import RemoteLogin
from vpn_frontend.protocol.login_form import Field, FieldKind, Form
from vpn_frontend.radius.attributes import Attribute
from vpn_frontend.radius.packets import MAX_PASSWORD, MAX_TEXT, Code, Question, clip_text
from vpn_frontend.radius.servers import NoAnswerError
from vpn_frontend.settings import Overrides

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.auth.method import LoginRequest
    from vpn_frontend.auth.result import Outcome
    from vpn_frontend.ports import UserDirectory
    from vpn_frontend.radius.packets import Answer
    from vpn_frontend.radius.servers import RadiusServers
    from vpn_frontend.settings import RadiusSettings

ORIGIN = "radius"
REPLY_FIELD = "secondary_password"  # into which openconnect fills a one-time code
MAX_ROUNDS = 16  # of one login, as in ocserv
MAX_MESSAGE = 512  # characters of the server's text that a user is shown
MAX_AGENT = 128
MAX_LOOKUPS = 16  # of the directory at a time; a thousand accepts may come within a second
AUTHENTICATE_ONLY, ASYNC, ECHO = 8, 0, 1  # Service-Type and NAS-Port-Type as ocserv sends them; Prompt (RFC 2869 5.10)
ASKED_AGAIN = "The login server asks again. Please check your response."
NO_ANSWER = Unavailable("The login server does not answer. Please try again later.")


@dataclass(frozen=True, slots=True)
class RadiusState:
    """A login between two rounds."""

    username: str
    address: str
    user_agent: str
    session_id: str  # Acct-Session-Id, of the accounting too
    state: bytes = field(default=b"", repr=False)
    server: int | None = None  # that asks
    prompt: str = ""  # what it asks
    rounds: int = 0


class RadiusMethod:
    """The method ``radius``. ``directory`` may know more of a user: limits, addresses, that it is disabled."""

    name = "radius"
    backend = "radius"

    def __init__(self, servers: RadiusServers, settings: RadiusSettings, directory: UserDirectory) -> None:
        self._servers = servers
        self._settings = settings
        self._directory = directory
        self._lookups = asyncio.Semaphore(MAX_LOOKUPS)

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        if not login.submitted:
            return FirstForm()
        state = RadiusState(
            username=login.username,
            address=str(login.address),
            user_agent=login.user_agent[:MAX_AGENT],
            session_id=secrets.token_hex(8),
        )
        return self._ask(state, login.password)

    def answer(self, state: object, fields: Mapping[str, str]) -> Outcome | Pending:
        if not isinstance(state, RadiusState):
            raise TypeError(f"a state of {type(state).__name__}")
        return self._ask(state, fields.get(REPLY_FIELD) or fields.get("password", ""))

    def _ask(self, state: RadiusState, password: str) -> Outcome | Pending:
        secret, name = password.encode(), self._user_name(state.username)
        if not 0 < len(secret) <= MAX_PASSWORD or 0 in secret or not 0 < len(name.encode()) <= MAX_TEXT:
            return Refused(WRONG, "wrong_password")
        return Pending(partial(self._conclude, state, self._question(state, name, secret)))

    def _user_name(self, username: str) -> str:
        realm = self._settings.default_realm
        return f"{username}@{realm}" if realm and "@" not in username else username

    def _question(self, state: RadiusState, name: str, password: bytes) -> Question:
        attributes: list[tuple[str, str | int | bytes]] = [
            ("User-Name", name),
            ("Service-Type", AUTHENTICATE_ONLY),
            ("NAS-Port-Type", ASYNC),
            ("NAS-Identifier", clip_text(self._settings.nas_identifier)),
            ("Calling-Station-Id", state.address),
            ("Acct-Session-Id", state.session_id),
        ]
        if state.user_agent:
            attributes.append(("Connect-Info", clip_text(state.user_agent)))
        if state.state:
            attributes.append(("State", state.state))
        return Question(Code.ACCESS_REQUEST, attributes, password)

    async def _conclude(self, state: RadiusState, question: Question) -> Outcome:
        """Raises ``GrantError`` for an answer that makes no sense."""
        try:
            answer, server = await self._servers.ask(question, state.server)
        except NoAnswerError:
            return NO_ANSWER  # the servers report it, once
        if answer.code is Code.ACCESS_REJECT:
            return Refused(read_message(answer) or WRONG, "wrong_password")
        if answer.code is Code.ACCESS_CHALLENGE:
            return self._challenge(state, answer, server)
        return await self._accept(state, answer)

    def _challenge(self, state: RadiusState, answer: Answer, server: int) -> Challenge | Refused:
        states, prompt = answer.all(Attribute.STATE), read_message(answer)
        if len(states) != 1 or not states[0] or not prompt:
            raise grant.GrantError("a challenge without one State and a Reply-Message")
        if state.rounds + 1 >= MAX_ROUNDS:
            return Refused("The login server asks too many questions.", "too_many_rounds")
        shown = ECHO in grant.read_integers(answer, Attribute.PROMPT)
        reply = Field(REPLY_FIELD, FieldKind.TEXT if shown else FieldKind.PASSWORD, "Response:")
        following = replace(state, state=states[0], server=server, prompt=prompt, rounds=state.rounds + 1)
        asked = Challenge(Form((reply,), prompt), following)
        if state.state and prompt == state.prompt:  # for a wrong code some servers ask again instead of rejecting
            return Refused(ASKED_AGAIN, "asked_again", retry=asked)
        return asked

    async def _accept(self, state: RadiusState, answer: Answer) -> Accepted | Refused:
        if not grant.check_service(answer):
            return Refused("Your account is not for this service.", "service_type")
        overrides: Overrides = {}
        if self._settings.group_config:
            overrides = grant.read_overrides(answer, bandwidth_unit=self._settings.bandwidth_unit)
        async with self._lookups:  # the deadline of a look-up begins with its turn
            user = await find_external_user(self._directory, state.username, grant.read_groups(answer))
        remote = RemoteLogin(
            ORIGIN,
            self._user_name(state.username),
            state.session_id,
            overrides,
            answer.all(Attribute.CLASS),
            grant.read_interim(answer),
        )
        return Accepted(user, user.groups, remote)


def read_message(answer: Answer) -> str:
    """The server's text for the user, without control characters."""
    text = " ".join(grant.read_texts(answer, Attribute.REPLY_MESSAGE))[:MAX_MESSAGE]
    return "".join(character if character.isprintable() else " " for character in text).strip()
