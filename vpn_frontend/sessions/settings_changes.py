# SPDX-License-Identifier: GPL-3.0-or-later
"""Changed users and groups, applied to live sessions.

A session that its changed settings or groups refuse is ended. Of the others the keys in ``LIVE`` change at once. What a
client was told when its tunnel opened changes when it connects again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sentry_engine import Action
from vpn_frontend.gateway.interface import GatewayError
from vpn_frontend.ports import CloseReason, VpnEvent
from vpn_frontend.sessions.close_messages import refusal_text
from vpn_frontend.sessions.limits.access import AccessRefusal, find_refusal, next_check
from vpn_frontend.sessions.session import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from sentry_engine import Engine
    from vpn_frontend.ports import EventSink, UserRecord
    from vpn_frontend.sessions.closing import SessionCloser
    from vpn_frontend.sessions.effective_settings import EffectiveSettings, SettingsResolver
    from vpn_frontend.sessions.index import SessionIndex
    from vpn_frontend.sessions.limits.traffic import TrafficLimits
    from vpn_frontend.sessions.limits.usage import UsageLedger
    from vpn_frontend.sessions.session import Session
    from vpn_frontend.settings import Overrides


class SettingsChanges:
    """Applies changes of users and groups, and what time alone changes."""

    def __init__(
        self,
        *,
        index: SessionIndex,
        closer: SessionCloser,
        engine: Engine,
        resolver: SettingsResolver,
        traffic: TrafficLimits,
        ledger: UsageLedger,
        events: EventSink,
        wall_clock: Callable[[], datetime],
    ) -> None:
        self._index = index
        self._closer = closer
        self._engine = engine
        self._resolver = resolver
        self._traffic = traffic
        self._ledger = ledger
        self._events = events
        self._wall_clock = wall_clock
        self.on_groups_changed: Callable[[], None] = lambda: None

    def change_user(self, before: UserRecord, after: UserRecord, now: float | None, *, dry_run: bool) -> list[Session]:
        """Returns the sessions that this ended, or would end. ``before`` and ``after`` are of the directory."""
        cut: list[Session] = []
        for session in self._living(self._index.find_by_user(after.name)):
            groups = merge_groups(session.groups, before.groups, after.groups)
            user = replace(after, external=session.user.external, file_layers=session.user.file_layers)
            settings = self._resolver.resolve(user, groups, session.remote, session.host)
            cut += self._put(session, user, groups, settings, now, dry_run=dry_run)
        return cut + self._cut_excess(after.name, cut, now, dry_run=dry_run)

    def change_groups(self, groups: Mapping[str, Overrides], now: float | None, *, dry_run: bool) -> list[Session]:
        """Put all groups that are not of the configuration in force. Returns the sessions that this ended."""
        resolver = self._resolver.with_groups(groups)
        if not dry_run:
            self._resolver.set_groups(groups)
            self.on_groups_changed()
        cut: list[Session] = []
        users: dict[str, None] = {}
        for session in self._living(self._index):
            settings = resolver.resolve(session.user, session.groups, session.remote, session.host)
            if settings.changed_keys(session.settings):
                users[session.user.name] = None
                cut += self._put(session, session.user, session.groups, settings, now, dry_run=dry_run)
        for user in users:
            cut += self._cut_excess(user, cut, now, dry_run=dry_run)
        return cut

    def refresh(self, session: Session, user: UserRecord) -> None:
        """Take the user's present record for a session that connects again."""
        if not user.external:
            session.groups = merge_groups(session.groups, session.user.groups, user.groups)
        settings = self._resolver.resolve(user, session.groups, session.remote, session.host)
        changed = settings.changed_keys(session.settings) if settings is not session.settings else ()
        session.user, session.settings = user, settings
        if changed:
            session.check_at = next_check(settings, self._wall_clock())
            self._index.reschedule(session)
            self._traffic.update(session)

    def expire(self, now: float) -> None:
        """End the sessions whose schedule or end says so, and begin another day of the quotas."""
        wall = self._wall_clock()
        moment = wall.timestamp()
        self._traffic.turn_day(wall)
        for session in self._index.due_checks(moment):
            refusal = find_refusal(session.settings, session.user.name, self._ledger, wall)
            if refusal is not None:
                self._closer.close_session(session, refusal.reason, now, refusal.text)
                continue
            session.check_at = next_check(session.settings, wall)
            self._index.reschedule(session)

    def quota_exceeded(self, gateway_id: int, now: float) -> None:
        """The gateway dropped a packet for a quota: end the user's sessions unless there is more left by now."""
        session = self._index.find_by_gateway_id(gateway_id)
        if session is None or session.phase is not Phase.OPEN:
            return
        self._traffic.account_user(session.user.name)
        if self._traffic.renew_quota(session):
            return
        wall = self._wall_clock()
        for other in self._living(self._index.find_by_user(session.user.name)):
            refusal = find_refusal(other.settings, other.user.name, self._ledger, wall) if other.metered else None
            if refusal is not None:
                self._closer.close_session(other, refusal.reason, now, refusal.text)

    def _put(
        self,
        session: Session,
        user: UserRecord,
        groups: tuple[str, ...],
        settings: EffectiveSettings,
        now: float | None,
        *,
        dry_run: bool,
    ) -> list[Session]:
        """Change one session, or end it. Returns it if it ends."""
        self._traffic.account_user(user.name)
        refusal = self._refusal(session, groups, settings)
        if dry_run:
            return [] if refusal is None else [session]
        changed = settings.changed_keys(session.settings)
        session.user, session.groups, session.settings = user, groups, settings
        session.check_at = next_check(settings, self._wall_clock())
        self._index.reschedule(session)
        if refusal is None and session.phase is Phase.OPEN and any(key.startswith(LIMITING) for key in changed):
            refusal = self._limit(session)
        if refusal is None:
            return []
        self._closer.close_session(session, refusal.reason, now, refusal.text)
        return [session]

    def _limit(self, session: Session) -> AccessRefusal | None:
        """Fails closed: a session must not go on without its new limits."""
        try:
            self._traffic.update(session)
        except GatewayError as error:
            self._events.emit(VpnEvent.BACKEND_FAILED, what="limits", error=repr(error))
            return AccessRefusal("The limits of this session have changed. Please connect again.", CloseReason.FAILED)
        return None

    def _refusal(self, session: Session, groups: tuple[str, ...], settings: EffectiveSettings) -> AccessRefusal | None:
        user = session.user.name
        for address in session.sources if groups != session.groups else ():
            verdict = self._engine.judge_connected(address, user=user, groups=groups)
            if verdict.action is Action.REJECT:
                rule = "" if verdict.rule_id is None else self._engine.rule_text(verdict.rule_id)
                return AccessRefusal(refusal_text(verdict, rule), CloseReason.POLICY)
        return find_refusal(settings, user, self._ledger, self._wall_clock())

    def _cut_excess(self, user: str, cut: list[Session], now: float | None, *, dry_run: bool) -> list[Session]:
        """End the newest sessions of a user beyond its own limit of clients."""
        own = [
            session for session in self._index.find_by_user(user) if session.phase is Phase.OPEN and session not in cut
        ]
        limit = own[0].settings.own_client_limit if own else None
        excess = own[limit:] if limit else []
        if not dry_run:
            text = f"This user may now be connected with {limit} clients at most."
            for session in excess:
                self._closer.close_session(session, CloseReason.POLICY, now, text)
        return excess

    @staticmethod
    def _living(sessions: Iterable[Session]) -> list[Session]:
        return [session for session in sessions if session.phase < Phase.CLOSING]


def merge_groups(present: tuple[str, ...], before: tuple[str, ...], after: tuple[str, ...]) -> tuple[str, ...]:
    """The groups of a session after those of its user changed. Groups from elsewhere stay; the chosen one leads."""
    if before == after:
        return present
    kept = [group for group in present if group in after or group not in before]
    return tuple(dict.fromkeys((*kept, *after)))


LIMITING = ("network.", "bandwidth.", "quota.")  # keys that the gateway's limits may depend on
