# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins under way, by the context cookie: failures so far, and the round that waits for its reply.

One login comes over several connections, so its state cannot belong to a connection. An entry begins with the first
failure or challenge: asking for the first form costs the server no memory. A client without the cookie begins a new
login. That gives it no more attempts: the policy engine counts failures by source, this table only by login.

Logins with a challenge are kept apart from logins that have only failed. Wrong passwords cannot evict a login that has
passed its first round. Where a table is full, the source with the most logins loses its oldest: a client may have a
challenge for a question, before it has shown anything.

A client whose connection died sends its reply again over a new one, with the same bytes (openconnect). The answers that
ended logins are kept, so that it gets the same one: the login is over, and a code that it used up would be refused.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.fair_table import FairTable

if TYPE_CHECKING:
    from vpn_frontend.protocol.http import HttpResponse

MAX_LOGINS = 4096  # of each kind; the next reply of one that is forgotten begins a new login
MAX_STATE = 4096  # characters of a state's repr, about its bytes in memory
CONTEXT_SIZE = 16  # bytes of the cookie's random value
MAX_ANSWERS = 1024  # of about 2 KB; the oldest is forgotten, and its client begins a new login
ANSWER_LIFETIME = 30.0  # seconds; openconnect sends again at once


class StateSizeError(Exception):
    """A method's state is larger than ``MAX_STATE``."""


@dataclass(slots=True)
class LoginAttempt:
    """One login under way. ``state`` belongs to the method that asked; ``None``: no challenge is open."""

    began: float  # monotonic seconds
    failures: int = 0
    state: object | None = None
    asked: frozenset[str] = frozenset()  # names of the fields of the challenge; of a round of Negotiate: none
    busy: bool = False  # a reply to the challenge is being checked


@dataclass(frozen=True, slots=True)
class Answer:
    """``digest`` is of the reply that was answered at ``given``."""

    digest: bytes
    response: HttpResponse
    given: float


class LoginAttempts:
    """All logins under way. Each lives for ``timeout`` seconds from its first failure or challenge."""

    def __init__(self, timeout: int) -> None:
        self.timeout = timeout
        self._failed: FairTable[LoginAttempt] = FairTable()
        self._challenged: FairTable[LoginAttempt] = FairTable()
        self._answers: OrderedDict[str, Answer] = OrderedDict()  # by context, oldest first

    def __len__(self) -> int:
        return len(self._failed) + len(self._challenged)

    def find(self, context: str, now: float) -> LoginAttempt | None:
        """The login of ``context``. ``None``: unknown or timed out."""
        attempt = self._challenged.get(context) or self._failed.get(context)
        if attempt is None or now - attempt.began < self.timeout:
            return attempt
        self.end(context)
        return None

    def fail(self, context: str, now: float, source: bytes = b"") -> tuple[str, int]:
        """Count a failure and end the challenge. Returns the context, a new one if unknown, and the failures.

        ``source``: of the client, see ``FairTable``.
        """
        context, attempt = self._take_out(context, now)
        attempt.failures += 1
        attempt.state, attempt.asked = None, frozenset()
        self._keep(self._failed, context, attempt, source, now)
        return context, attempt.failures

    def challenge(self, context: str, now: float, state: object, asked: frozenset[str], source: bytes = b"") -> str:
        """Keep ``state`` for the reply to a challenge. Returns the context, a new one if ``context`` is unknown.

        ``source``: of the client, see ``FairTable``.

        Raises ``StateSizeError``.
        """
        if len(repr(state)) > MAX_STATE:
            raise StateSizeError(f"a login state of {len(repr(state))} characters (at most {MAX_STATE})")
        context, attempt = self._take_out(context, now)
        attempt.state, attempt.asked = state, asked
        self._keep(self._challenged, context, attempt, source, now)
        return context

    def keep_answer(self, context: str, digest: bytes, response: HttpResponse, now: float) -> None:
        """Keep the answer that ended a login."""
        self._answers.pop(context, None)
        self._answers[context] = Answer(digest, response, now)
        while len(self._answers) > MAX_ANSWERS or now - next(iter(self._answers.values())).given >= ANSWER_LIFETIME:
            self._answers.popitem(last=False)

    def find_answer(self, context: str, digest: bytes, now: float) -> HttpResponse | None:
        """The answer that ended the login of ``context``, if that was to the same reply. ``None``: it is a new one."""
        answer = self._answers.get(context)
        if answer is None or answer.digest != digest or now - answer.given >= ANSWER_LIFETIME:
            return None
        return answer.response

    def end(self, context: str) -> None:
        """Forget the login, if it is there."""
        self._failed.pop(context)
        self._challenged.pop(context)

    def _take_out(self, context: str, now: float) -> tuple[str, LoginAttempt]:
        """The login to change, and its context. The caller puts it back as the newest of its kind."""
        attempt = self.find(context, now)
        if attempt is None:
            return secrets.token_hex(CONTEXT_SIZE), LoginAttempt(now)
        self.end(context)
        attempt.busy = False
        return context, attempt

    def _keep(
        self, logins: FairTable[LoginAttempt], context: str, attempt: LoginAttempt, source: bytes, now: float
    ) -> None:
        """Add the newest login. Drops timed-out ones from the front, and one of a full table."""
        while (oldest := logins.oldest()) is not None and now - oldest[1].began >= self.timeout:
            logins.pop(oldest[0])
        logins.add(context, attempt, source)
        logins.shrink(MAX_LOGINS)
