# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PAM conversation asks and how it ends, and the interface of the process that holds it. Pure.

Messages of that process come from PAM modules, which may be anything: every field is checked and bounded here.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vpn_frontend.settings import Address

MAX_PROMPTS = 16  # of one conversation
MAX_TEXT = 1024  # characters of a prompt or message
MAX_ANSWER = 512  # characters; PAM_MAX_RESP_SIZE
MAX_MESSAGES = 16  # kept for one form
MAX_GROUPS = 1024
MAX_NAME = 64  # bytes
REPEATING = ("retype", "re-type", "verify", "again", "confirm", "repeat", "re-enter", "reenter")  # words of prompts


class Style(IntEnum):
    """Styles of ``struct pam_message``."""

    ECHO_OFF = 1
    ECHO_ON = 2
    ERROR = 3
    INFO = 4


class Phase(StrEnum):
    """The call of libpam that failed, or ``DONE``."""

    START = "start"
    AUTHENTICATE = "authenticate"
    ACCOUNT = "account"
    PASSWORD = "password"  # noqa: S105 - a phase
    SESSION = "session"  # opened or closed
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question of a module. ``echo``: the client shows what the user types."""

    text: str
    echo: bool


@dataclass(frozen=True, slots=True)
class Question:
    """Prompts to answer together, and the messages of modules since the last ones.

    ``changing``: they are of a change of the password.
    """

    prompts: tuple[Prompt, ...]
    messages: tuple[str, ...]
    changing: bool = False

    @property
    def asks_for_new_password(self) -> bool:
        """True for the first of the two prompts that a new password is typed at."""
        return self._is_alone and not self.repeats_new_password and "new" in self.prompts[0].text.lower()

    @property
    def repeats_new_password(self) -> bool:
        """True for the second of them."""
        return self._is_alone and any(word in self.prompts[0].text.lower() for word in REPEATING)

    @property
    def _is_alone(self) -> bool:
        return self.changing and len(self.prompts) == 1 and not self.prompts[0].echo


@dataclass(frozen=True, slots=True)
class Ended:
    """The conversation is over. ``code``: PAM's, 0 for success. ``user`` is PAM's spelling."""

    phase: Phase
    code: int
    user: str
    groups: tuple[str, ...]
    messages: tuple[str, ...]


class ConversationError(Exception):
    """The process died, took too long, or sent what it must not."""


class Conversation(Protocol):
    """One process with one PAM handle."""

    async def receive(self) -> Question | Ended:
        """The next thing it says. Raises ``ConversationError``."""

    async def answer(self, texts: Sequence[str]) -> None:
        """Answer all prompts of the last question. Raises ``ConversationError``."""

    def close(self) -> None:
        """Kill the process, if it still runs."""


class ConversationOpener(Protocol):
    async def open_conversation(self, user: str, address: Address) -> Conversation:
        """Start a process for ``user``. Raises ``ConversationError``."""


def parse_message(document: dict[str, Any]) -> Question | Ended:
    """Check one message of the process. Raises ``ConversationError``."""
    try:
        messages = tuple(_text(entry) for entry in _list(document["messages"], MAX_MESSAGES))
        if "prompts" in document:
            prompts = [
                Prompt(_text(entry["text"]), bool(entry["echo"])) for entry in _list(document["prompts"], MAX_PROMPTS)
            ]
            if not prompts:
                raise ConversationError("a question without a prompt")
            return Question(tuple(prompts), messages, document.get("changing") is True)
        code = document["code"]
        if type(code) is not int:
            raise ConversationError("a code that is no number")
        groups = tuple(_name(entry) for entry in _list(document["groups"], MAX_GROUPS))
        return Ended(Phase(document["phase"]), code, _name(document["user"]), groups, messages)
    except (KeyError, TypeError, ValueError) as error:
        raise ConversationError(f"a message of another form: {error!r}") from error


def _list(value: object, limit: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > limit:
        raise ConversationError("a list of another form, or too long")
    return value


def _text(value: object) -> str:
    """Text of a module for the user, without control characters."""
    if not isinstance(value, str):
        raise ConversationError("text that is none")
    return "".join(letter if letter.isprintable() else " " for letter in value[:MAX_TEXT]).strip()


def _name(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value.encode()) > MAX_NAME:
        raise ConversationError("a name that is none")
    return value
