# SPDX-License-Identifier: GPL-3.0-or-later
"""The method ``pam``: a conversation with the host's PAM stack, one round per question.

The password of the first form answers the first prompt that hides its answer. Each further question is a form of its
own. A conversation is a process that waits between two rounds, so their number is bounded: per source, and in all.
Where all places are taken, the source with the most of those that wait loses one.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.auth.external_user import find_external_user
from vpn_frontend.auth.pam.conversation import MAX_ANSWER, MAX_PROMPTS, ConversationError, Ended, Phase, Question
from vpn_frontend.auth.pam.verdict import SUCCESS, judge_end
from vpn_frontend.auth.password.source_standing import source_key
from vpn_frontend.auth.result import WRONG, Accepted, Challenge, FirstForm, Pending, Refused, Unavailable
from vpn_frontend.fair_table import FairTable
from vpn_frontend.protocol.login_form import Field, FieldKind, Form

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vpn_frontend.auth.method import LoginRequest
    from vpn_frontend.auth.pam.conversation import Conversation, ConversationOpener
    from vpn_frontend.auth.result import Outcome
    from vpn_frontend.ports import UserDirectory
    from vpn_frontend.settings import Address

MAX_CONVERSATIONS = 64
MAX_PER_SOURCE = 16  # that wait for their user, as of an office behind one address; the oldest ends for a new one
MAX_USER = 64  # bytes
ANSWER = "secondary_password"  # openconnect fills a one-time code into this field
NEW, VERIFY = "new_password", "verify_password"  # AnyConnect's fields; openconnect sends the first as "password"


@dataclass(frozen=True, slots=True)
class PamState:
    """``key`` of the conversation that waits, and the fields of its form."""

    key: str
    names: tuple[str, ...]
    prompts: int  # asked so far


@dataclass(slots=True)
class _Waiting:
    """A conversation whose user is to answer. ``texts``: answers that are known already."""

    conversation: Conversation
    address: Address
    user: str
    expiry: asyncio.TimerHandle


class PamMethod:
    """``step_deadline``: seconds for the modules to say the next thing. ``user_deadline``: for the user to answer."""

    name = "pam"
    backend = "pam"

    def __init__(
        self, users: UserDirectory, opener: ConversationOpener, *, step_deadline: float, user_deadline: float
    ) -> None:
        self._users = users
        self._opener = opener
        self._step_deadline = step_deadline
        self._user_deadline = user_deadline
        self._running = 0
        self._waiting: FairTable[_Waiting] = FairTable()

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        if not login.submitted:
            return FirstForm()
        name = login.username
        if not name or not name.isprintable() or len(name.encode(errors="replace")) > MAX_USER:
            return Refused(WRONG, "unusable_name")
        if len(login.password) > MAX_ANSWER or "\0" in login.password:
            return Refused(WRONG, "wrong_password")
        return Pending(partial(self._begin, login))

    def answer(self, state: object, fields: Mapping[str, str]) -> Outcome | Pending:
        if not isinstance(state, PamState):
            raise TypeError(f"a state of {type(state).__name__}")
        waiting = self._waiting.pop(state.key)
        if waiting is None:
            return Refused("The login took too long. Please log in again.", "login_timeout", scored=False)
        waiting.expiry.cancel()
        texts = [fields.get(name) or (fields.get("password", "") if name == NEW else "") for name in state.names]
        if any(len(text) > MAX_ANSWER or "\0" in text for text in texts):
            waiting.conversation.close()
            return Refused(WRONG, "wrong_password")
        repeated = texts.pop() if VERIFY in state.names else None
        if VERIFY not in fields:  # openconnect 9.01 asks for it and does not send it: the modules' own prompt is shown
            repeated = None
        return Pending(partial(self._reply, waiting, state, texts, repeated))

    def close(self) -> None:
        """End every conversation that waits for its user."""
        _end_all(self._waiting.shrink(0))

    async def _begin(self, login: LoginRequest) -> Outcome:
        if self._running + len(self._waiting) >= MAX_CONVERSATIONS:
            if not self._waiting:
                return Unavailable("Too many logins at the moment. Please try again in a few seconds.")
            _end_all(self._waiting.shrink(len(self._waiting) - 1))
        self._running += 1
        try:
            async with asyncio.timeout(self._step_deadline):
                conversation = await self._opener.open_conversation(login.username, login.address)
            waiting = _Waiting(conversation, login.address, login.username, _no_timer())
            return await self._listen(waiting, 0, login.password)
        finally:
            self._running -= 1

    async def _reply(self, waiting: _Waiting, state: PamState, texts: list[str], repeated: str | None) -> Outcome:
        self._running += 1
        try:
            await waiting.conversation.answer(texts)
            return await self._listen(waiting, state.prompts, None, repeated)
        except BaseException:
            waiting.conversation.close()
            raise
        finally:
            self._running -= 1

    async def _listen(
        self, waiting: _Waiting, asked: int, password: str | None, repeated: str | None = None
    ) -> Outcome:
        """What the modules say next. Raises ``ConversationError``.

        ``password`` answers the first hidden prompt, ``repeated`` the one that asks for a new password again.
        """
        conversation = waiting.conversation
        kept = False
        try:
            while True:
                async with asyncio.timeout(self._step_deadline):
                    said = await conversation.receive()
                if isinstance(said, Ended):
                    return await self._conclude(said)
                asked += len(said.prompts)
                if asked > MAX_PROMPTS:
                    raise ConversationError(f"more than {MAX_PROMPTS} prompts")
                known = password if repeated is None or not said.repeats_new_password else repeated
                if known is None or len(said.prompts) > 1 or said.prompts[0].echo:
                    kept = True
                    return self._ask(waiting, said, asked)
                await conversation.answer([known])
                password = repeated = None
        finally:
            if not kept:
                conversation.close()

    async def _conclude(self, ended: Ended) -> Outcome:
        if ended.phase is Phase.DONE and ended.code == SUCCESS and ended.user:
            user = await find_external_user(self._users, ended.user, ended.groups)
            return Accepted(user, user.groups)
        refused = judge_end(ended)
        if refused is None:
            raise ConversationError(f"PAM cannot check logins: {ended.phase} returned {ended.code}")
        return refused

    def _ask(self, waiting: _Waiting, question: Question, asked: int) -> Challenge:
        """Keep the conversation until its user answers."""
        fields = _make_fields(question)
        names = tuple(field.name for field in fields)
        source = source_key(waiting.address)
        _end_all(self._waiting.shrink_source(source, MAX_PER_SOURCE - 1))
        key = secrets.token_hex(16)
        loop = asyncio.get_running_loop()
        waiting.expiry = loop.call_later(self._user_deadline, self._end_waiting, key)
        self._waiting.add(key, waiting, source)
        message = " ".join(question.messages) or "Please answer to go on."
        return Challenge(Form(fields, message, id="challenge"), PamState(key, names, asked))

    def _end_waiting(self, key: str) -> None:
        waiting = self._waiting.pop(key)
        if waiting is not None:
            _end_all([waiting])


def _end_all(ended: Iterable[_Waiting]) -> None:
    """End conversations that wait no more."""
    for waiting in ended:
        waiting.expiry.cancel()
        waiting.conversation.close()


def _make_fields(question: Question) -> tuple[Field, ...]:
    """One field for each prompt, and a second one for a new password, whose repetition the modules ask for next."""
    prompts = question.prompts
    if question.asks_for_new_password:
        return (
            Field(NEW, FieldKind.PASSWORD, prompts[0].text),
            Field(VERIFY, FieldKind.PASSWORD, "Verify new password:"),
        )
    return tuple(
        Field(
            ANSWER if number == 1 else f"{ANSWER}_{number}",
            FieldKind.TEXT if prompt.echo else FieldKind.PASSWORD,
            prompt.text or "Answer:",
        )
        for number, prompt in enumerate(prompts, start=1)
    )


def _no_timer() -> asyncio.TimerHandle:
    handle = asyncio.get_running_loop().call_later(0, lambda: None)
    handle.cancel()
    return handle
