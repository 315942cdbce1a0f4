# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a login is right: the directory, the password, and what the policy makes of success and failure.

Order matters. The password is checked first and for unknown users too, so that neither an answer nor its time tells who
exists, is disabled or has expired; only who knows the password hears more.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sentry_engine import Event, Verdict
from vpn_frontend.auth.password import OverloadError, PasswordChecker
from vpn_frontend.ports import EventSink, UserDirectory, UserRecord, VpnEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry_engine import Engine
    from vpn_frontend.gateway.interface import Address
    from vpn_frontend.protocol.connection import CheckLogin

DIRECTORY_DEADLINE = 5.0  # seconds for one look-up
RETRY_AFTER = 10  # seconds, when the server could not check
WRONG = "Login failed: wrong username or password."


@dataclass(frozen=True, slots=True)
class Accepted:
    user: UserRecord
    groups: tuple[str, ...]  # the one chosen in front


@dataclass(frozen=True, slots=True)
class Refused:
    """``final``: trying again now is of no use; ``text`` is for the user."""

    text: str
    reason: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Unavailable:
    text: str
    retry_after: int = RETRY_AFTER


class Authenticator:
    def __init__(
        self,
        *,
        users: UserDirectory,
        engine: Engine,
        passwords: PasswordChecker,
        events: EventSink,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._users = users
        self._engine = engine
        self._passwords = passwords
        self._events = events
        self._wall_clock = wall_clock

    def recall(self, name: str) -> UserRecord | Refused | None:
        """What ``find`` would answer, if nobody has to be asked; ``None``: somebody has."""
        user = self._users.recall(name)
        return None if user is None else self._standing(user) or user

    async def find(self, name: str) -> UserRecord | Refused | Unavailable:
        """The user, if the directory answers and lets them in today; for a login that was right before."""
        try:
            async with asyncio.timeout(DIRECTORY_DEADLINE):
                user = await self._users.find(name)
        except Exception as error:  # noqa: BLE001 - whatever a directory raises, the user is told to try later
            return self._failed("directory", error)
        if user is None:
            return Refused("This account is gone.", "user_unknown", final=True)
        return self._standing(user) or user

    def check_known(self, login: CheckLogin, address: Address) -> Accepted | Refused | None:
        """Answer a login of a user and a password that were right a moment ago; ``None``: it takes a ``check``."""
        user = self._users.recall(login.username)
        if user is None or not self._passwords.knows(user.password_hash, login.password):
            return None
        return self._tell(self._judge(user, login, address), login, address)

    async def check(self, login: CheckLogin, address: Address) -> Accepted | Refused | Unavailable:
        """Answer a login from ``address``; the policy hears of it."""
        try:
            async with asyncio.timeout(DIRECTORY_DEADLINE):
                user = await self._users.find(login.username)
            right = await self._passwords.check(None if user is None else user.password_hash, login.password)
        except OverloadError:
            return Unavailable("Too many logins at the moment. Please try again in a few seconds.")
        except Exception as error:  # noqa: BLE001 - as above; a failure of ours is no failure of the user's
            return self._failed("directory", error)
        answer = self._judge(user, login, address) if user is not None and right else self._wrong(login, address)
        return self._tell(answer, login, address)

    def _tell(self, answer: Accepted | Refused, login: CheckLogin, address: Address) -> Accepted | Refused:
        if isinstance(answer, Refused):
            self._events.emit(
                VpnEvent.LOGIN_REFUSED, user=login.username, address=address, reason=answer.reason, final=answer.final
            )
        else:
            self._events.emit(
                VpnEvent.LOGIN_ACCEPTED, user=answer.user.name, address=address, user_agent=login.user_agent
            )
        return answer

    def _wrong(self, login: CheckLogin, address: Address) -> Refused:
        verdict = self._engine.decide(Event.AUTH_FAILURE, address, user=login.username)
        if verdict.accepted:
            return Refused(WRONG, "wrong_password")
        return Refused(f"{WRONG} {render_refusal(verdict)}", verdict.reason.value, final=True)

    def _judge(self, user: UserRecord, login: CheckLogin, address: Address) -> Accepted | Refused:
        standing = self._standing(user)
        if standing is not None:
            return standing
        if login.group and login.group not in user.groups:
            return Refused(f"You are not a member of the group {login.group}.", "not_a_member")
        verdict = self._engine.decide(Event.AUTH_SUCCESS, address, user=user.name, groups=user.groups)
        if not verdict.accepted:
            return Refused(render_refusal(verdict), verdict.reason.value, final=True)
        others = tuple(group for group in user.groups if group != login.group)
        return Accepted(user, (login.group, *others) if login.group else user.groups)

    def _standing(self, user: UserRecord) -> Refused | None:
        if not user.enabled:
            return Refused("This account is disabled.", "user_disabled", final=True)
        if user.expires_at is not None and user.expires_at <= self._wall_clock():
            return Refused("This account has expired.", "user_expired", final=True)
        return None

    def _failed(self, what: str, error: Exception) -> Unavailable:
        self._events.emit(VpnEvent.BACKEND_FAILED, what=what, error=repr(error))
        return Unavailable("Logins cannot be checked at the moment. Please try again later.")


def render_refusal(verdict: Verdict) -> str:
    """Say to a user that the source is refused, and until when, but not by which rule."""
    wait = verdict.retry_after
    if wait is None or math.isinf(wait):
        return "Access from your address is blocked."
    return f"Too many attempts from your address. Try again in {max(1, math.ceil(wait))} seconds."
