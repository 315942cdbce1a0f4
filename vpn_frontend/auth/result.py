# SPDX-License-Identifier: GPL-3.0-or-later
"""Outcomes of an authentication method, and of a whole login."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from vpn_frontend.ports import RemoteLogin, UserRecord
    from vpn_frontend.protocol.login_form import Form

RETRY_AFTER = 10  # seconds, when the server could not check
WRONG = "Login failed: wrong username or password."


class OverloadError(Exception):
    """No check can be made now. Another try in a few seconds may succeed."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The user is authenticated. ``groups``: the one chosen at login comes first.

    ``remote``: what an authentication server sent with the acceptance. ``negotiate``: the last token of HTTP Negotiate.
    """

    user: UserRecord
    groups: tuple[str, ...]
    remote: RemoteLogin | None = None
    negotiate: bytes = b""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Another round: show ``form``, and pass its reply with ``state`` to the method's ``answer``.

    ``state`` is a plain immutable value with a short repr (``login_attempts.MAX_STATE``). It is kept on the server.
    ``negotiate``: the last token of HTTP Negotiate, of a method before this one.
    """

    form: Form
    state: object
    negotiate: bytes = b""


@dataclass(frozen=True, slots=True)
class Negotiate:
    """Another round of HTTP Negotiate (RFC 4559): the client repeats its request, with a token.

    ``token`` is for the client. ``state`` is as a challenge's; ``None``: the exchange begins, and nothing is kept.
    """

    token: bytes = b""
    state: object | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The login failed. ``text`` is for the user, ``reason`` a stable code.

    ``final``: another try is useless now. ``retry``: the round to repeat; ``None``: the login begins again.
    ``source_refused``: the policy refuses the address, of any user. Without ``scored`` it counts as no failure of the
    source, because the client guessed nothing.
    """

    text: str
    reason: str
    final: bool = False
    retry: Challenge | None = None
    source_refused: bool = False
    scored: bool = True


@dataclass(frozen=True, slots=True)
class FirstForm:
    """The method works from the first form. Its reply begins the login; nothing is kept until then.

    ``request_certificate``: the client is asked for its certificate instead, and begins on a new connection.
    ``refused``: why a method before this one has failed, which the form shows. ``form`` stands for the usual first one.
    """

    request_certificate: bool = False
    refused: Refused | None = None
    form: Form | None = None


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The server could not check. ``text`` is for the user, ``retry_after`` seconds."""

    text: str
    retry_after: int = RETRY_AFTER


Outcome = Accepted | Refused | Challenge | Negotiate | FirstForm | Unavailable


@dataclass(frozen=True, slots=True)
class Pending:
    """An outcome that has to be waited for. ``wait`` is called and awaited at most once; nothing runs before that."""

    wait: Callable[[], Awaitable[Outcome]]


def chain(outcome: Outcome | Pending, step: Callable[[Outcome], Outcome | Pending]) -> Outcome | Pending:
    """Apply ``step`` to the outcome: at once if it is there, else after it was waited for."""
    if isinstance(outcome, Pending):
        return Pending(partial(_wait_and_apply, outcome, step))
    return step(outcome)


async def _wait_and_apply(pending: Pending, step: Callable[[Outcome], Outcome | Pending]) -> Outcome:
    outcome = step(await pending.wait())
    return await outcome.wait() if isinstance(outcome, Pending) else outcome
