# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides logins. The methods authenticate the user; the user's record and the policy authorize the login.

The methods come first, for unknown users too. So neither a response nor its time tells whether a user exists, is
disabled or has expired. Only a user who has authenticated is told more, and nothing while the policy refuses the
address: then no password is checked, and right and wrong ones get one text.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable
from dataclasses import field, replace
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from sentry_engine import Event, Verdict
from sentry_engine.records import dataclass
from vpn_frontend.auth.composition import wrap_state
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.result import (
    WRONG,
    Accepted,
    Challenge,
    FirstForm,
    Negotiate,
    Outcome,
    Pending,
    Refused,
    Unavailable,
    chain,
)
from vpn_frontend.ports import DIRECTORY_DEADLINE, EventSink, SettingsFileError, UserDirectory, UserRecord, VpnEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentry_engine import Engine
    from vpn_frontend.auth.method import Method
    from vpn_frontend.ports import RemoteLogin, SettingsFiles
    from vpn_frontend.settings import Address


NO_GROUP_METHODS: Mapping[str, Method] = MappingProxyType({})
Confirm = Callable[[LoginRequest, Accepted], Refused | None]
FindRefusal = Callable[[UserRecord, tuple[str, ...], "RemoteLogin | None"], Refused | None]


@dataclass(frozen=True, slots=True)
class Ways:
    """What logins ask. One login keeps to one object from its beginning to its end.

    ``group_methods`` are what logins by a group with rules of its own ask instead of ``method``.
    ``confirm`` compares the login with what the methods have accepted, before anything is granted.
    """

    method: Method
    group_methods: Mapping[str, Method] = field(default_factory=lambda: NO_GROUP_METHODS)
    confirm: Confirm | None = None

    def method_of(self, login: LoginRequest) -> Method:
        return self.group_methods.get(login.group, self.method)


@dataclass(frozen=True, slots=True)
class Round:
    """State of a login between two rounds."""

    login: LoginRequest  # without secrets
    state: object  # of the method
    certificate_digest: bytes  # of the connection that the login began on
    ways: Ways = field(repr=False)  # shared, so it is no part of what a waiting login costs


class Authenticator:
    """``ways`` are what logins ask; others may be set while logins are under way.

    ``settings_files`` are read once the methods have accepted; ``None``: there are none.
    ``find_refusal`` says why the settings of a user, of its groups and of the authentication server allow no login now.
    ``members_of`` not empty: only their members may log in.
    """

    def __init__(
        self,
        *,
        users: UserDirectory,
        engine: Engine,
        ways: Ways,
        events: EventSink,
        settings_files: SettingsFiles | None = None,
        find_refusal: FindRefusal = lambda *_: None,
        members_of: tuple[str, ...] = (),
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._users = users
        self._engine = engine
        self._events = events
        self._wall_clock = wall_clock
        self.ways = ways
        self._settings_files = settings_files
        self._find_refusal = find_refusal
        self._members_of = frozenset(members_of)

    def recall(self, login: UserRecord) -> UserRecord | Refused | None:
        """The result of ``find`` if it is known without waiting; ``None``: it is not."""
        user = self._users.recall(login.name)
        if user is None:
            return None
        return self._standing(user) or _as_logged_in(user, login)

    async def find(self, login: UserRecord) -> UserRecord | Refused | Unavailable:
        """The user who logged in as ``login``, if the account is still valid. Never raises."""
        try:
            async with asyncio.timeout(DIRECTORY_DEADLINE):
                user = await self._users.find(login.name)
        except Exception as error:  # noqa: BLE001 - of any directory
            self._report("directory", error)
            return Unavailable("Logins cannot be checked at the moment. Please try again later.")
        if user is None and login.external:
            user = login
        if user is None:
            return Refused("This account is gone.", "user_unknown", final=True)
        return self._standing(user) or _as_logged_in(user, login)

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        """Check a login. The policy engine is told of success and failure."""
        ways = self.ways
        outcome = ways.method_of(login).begin(login)
        if isinstance(outcome, Pending):
            refused = self._refuse_source(login)
            if refused is not None:
                return self._report_refusal(refused, login)
            return chain(outcome, partial(self._conclude, ways, login))
        return self._conclude(ways, login, outcome)

    def answer(
        self, state: object, fields: Mapping[str, str], *, address: Address, peer_certificate: bytes = b""
    ) -> Outcome | Pending:
        """Check the reply to a challenge, which may come over another connection than the login began on.

        ``state`` is that of the challenge. A connection with another client certificate is refused.
        """
        if not isinstance(state, Round):
            raise TypeError(f"a state of {type(state).__name__}")
        login = replace(state.login, address=address, peer_certificate=peer_certificate)
        refused = self._refuse_source(login)
        if refused is not None:
            return self._report_refusal(refused, login)
        if _digest(peer_certificate) != state.certificate_digest:
            return self._conclude(state.ways, login, Refused(WRONG, "another_certificate"))
        outcome = state.ways.method_of(login).answer(state.state, fields)
        return chain(outcome, partial(self._conclude, state.ways, login))

    def _conclude(self, ways: Ways, login: LoginRequest, outcome: Outcome) -> Outcome | Pending:
        """What the outcome of the methods means for the login."""
        if self._settings_files is not None and isinstance(outcome, Accepted):
            return Pending(partial(self._read_settings, self._settings_files, ways, login, outcome))
        return self._decide(ways, login, outcome)

    async def _read_settings(
        self, files: SettingsFiles, ways: Ways, login: LoginRequest, accepted: Accepted
    ) -> Outcome:
        user, groups = accepted.user, accepted.groups
        group = login.group if login.group in groups else next(iter(groups), "")
        try:
            async with asyncio.timeout(DIRECTORY_DEADLINE):
                layers = await files.read(user.name, group)
        except SettingsFileError as error:
            return self._decide(ways, login, Refused(str(error), "settings_file", final=True, scored=False))
        except Exception as error:  # noqa: BLE001 - of any disk
            self._report("settings files", error)
            return Unavailable("Logins cannot be checked at the moment. Please try again later.")
        if layers:
            accepted = replace(accepted, user=replace(user, file_layers=layers))
        return self._decide(ways, login, accepted)

    def _decide(self, ways: Ways, login: LoginRequest, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Accepted):
            outcome = self._authorize(ways, outcome, login)
        elif isinstance(outcome, Refused):
            outcome = self._count_failure(ways, outcome, login)
        elif isinstance(outcome, FirstForm) and outcome.refused is not None:
            counted = self._count_failure(ways, outcome.refused, login)
            self._report_refusal(counted, login)
            return counted if counted.source_refused else outcome
        elif isinstance(outcome, Challenge | Negotiate):
            return wrap_state(outcome, partial(_keep_round, ways, login))
        if isinstance(outcome, Accepted):
            self._events.emit(
                VpnEvent.LOGIN_ACCEPTED,
                user=outcome.user.name,
                address=login.address,
                user_agent=login.user_agent,
            )
        elif isinstance(outcome, Refused):
            self._report_refusal(outcome, login)
        return outcome

    def _refuse_source(self, login: LoginRequest) -> Refused | None:
        """The refusal that even the right password would get from this address; ``None``: none. Counts nothing."""
        verdict = self._engine.explain(login.address, event=Event.AUTH_SUCCESS).verdict
        return None if verdict.accepted else refuse_source(verdict)

    def _report_refusal(self, refused: Refused, login: LoginRequest) -> Refused:
        self._events.emit(
            VpnEvent.LOGIN_REFUSED,
            user=login.username,
            address=login.address,
            reason=refused.reason,
            final=refused.final,
        )
        return refused

    def _count_failure(self, ways: Ways, refused: Refused, login: LoginRequest) -> Refused:
        """The refusal, or that of the address if the policy refuses it from now on."""
        if refused.scored:
            verdict = self._engine.decide(Event.AUTH_FAILURE, login.address, user=login.username)
            if not verdict.accepted:
                return refuse_source(verdict)
        if refused.retry is None:
            return refused
        return replace(refused, retry=replace(refused.retry, state=_keep_round(ways, login, refused.retry.state)))

    def _authorize(self, ways: Ways, accepted: Accepted, login: LoginRequest) -> Accepted | Refused:
        user = accepted.user
        if user.code_only:  # no method has checked a code of a user who has no password
            return self._refuse_source(login) or self._count_failure(ways, Refused(WRONG, "code_missing"), login)
        if ways.confirm is not None and (refused := ways.confirm(login, accepted)) is not None:
            return self._refuse_source(login) or refused
        standing = self._standing(user)
        if standing is not None:
            return self._refuse_source(login) or standing
        groups = accepted.groups
        if self._members_of and self._members_of.isdisjoint(groups):
            refused = Refused("You are not a member of a group that may log in here.", "not_a_member")
            return self._refuse_source(login) or refused
        if login.group and login.group not in groups:
            refused = Refused(f"You are not a member of the group {login.group}.", "not_a_member")
            return self._refuse_source(login) or refused
        if login.group:
            groups = (login.group, *(group for group in groups if group != login.group))
        unusable = self._find_refusal(user, groups, accepted.remote)
        if unusable is not None:
            return self._refuse_source(login) or unusable
        verdict = self._engine.decide(Event.AUTH_SUCCESS, login.address, user=user.name, groups=groups)
        if not verdict.accepted:
            return self._refuse_source(login) or Refused(render_refusal(verdict), verdict.reason.value, final=True)
        return accepted if groups is accepted.groups else replace(accepted, groups=groups)

    def _standing(self, user: UserRecord) -> Refused | None:
        """Why the account may not be used; ``None``: it may."""
        if not user.enabled:
            return Refused("This account is disabled.", "user_disabled", final=True)
        if user.expires_at is not None and user.expires_at <= self._wall_clock():
            return Refused("This account has expired.", "user_expired", final=True)
        return None

    def _report(self, backend: str, error: Exception) -> None:
        self._events.emit(VpnEvent.BACKEND_FAILED, what=backend, error=repr(error))


def _keep_round(ways: Ways, login: LoginRequest, state: object) -> Round:
    return Round(login.without_secrets(), state, _digest(login.peer_certificate), ways)


def _as_logged_in(user: UserRecord, login: UserRecord) -> UserRecord:
    """The present record with what was learned at the login."""
    if user is login or not (login.external or login.file_layers):
        return user
    return replace(user, external=login.external, file_layers=login.file_layers)


def _digest(certificate: bytes) -> bytes:
    return hashlib.sha256(certificate).digest()


def refuse_source(verdict: Verdict) -> Refused:
    """The refusal of an address: one text, whether the password was right, wrong or not checked."""
    return Refused(render_refusal(verdict), verdict.reason.value, final=True, source_refused=True)


def render_refusal(verdict: Verdict) -> str:
    """The text for a user whose address is refused: until when, but not by which rule."""
    wait = verdict.retry_after
    if wait is None or math.isinf(wait):
        return "Access from your address is blocked."
    return f"Too many attempts from your address. Try again in {max(1, math.ceil(wait))} seconds."
