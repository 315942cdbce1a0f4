# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators ask of sessions with a tunnel: list them, end them, apply a changed policy to them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from sentry_engine import Action, Verdict
from vpn_frontend.gateway.interface import GatewayError
from vpn_frontend.ports import CloseReason, SessionStatistics, SessionView, Traffic, UserRecord, WaitingLogin
from vpn_frontend.sessions.close_messages import refusal_text
from vpn_frontend.sessions.session import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network, IPv6Network

    from sentry_engine import Engine
    from vpn_frontend.gateway.interface import Gateway
    from vpn_frontend.sessions.closing import SessionCloser
    from vpn_frontend.sessions.index import SessionIndex
    from vpn_frontend.sessions.records.recent_disconnects import RecentDisconnects
    from vpn_frontend.sessions.records.statistics import StatisticsCounter
    from vpn_frontend.sessions.session import Session
    from vpn_frontend.sessions.settings_changes import SettingsChanges
    from vpn_frontend.settings import Address, Overrides

REASSESSED_AT_ONCE = 100  # sessions; about 2 ms in which the loop runs nothing else
Views = list[SessionView]  # ``LiveSessions.list`` hides the builtin inside the class


class LiveSessions:
    """Sessions with a tunnel, those that roam too. The API's ``LiveSessions`` port."""

    def __init__(
        self,
        index: SessionIndex,
        closer: SessionCloser,
        engine: Engine,
        gateway: Gateway,
        changes: SettingsChanges,
        disconnects: RecentDisconnects,
        statistics: StatisticsCounter,
    ) -> None:
        self._index = index
        self._closer = closer
        self._engine = engine
        self._gateway = gateway
        self._changes = changes
        self._disconnects = disconnects
        self._statistics = statistics

    def list(self) -> Views:
        """In the order of login, with their counters of this moment."""
        return [self._view(session) for session in self._index.open_sessions()]

    def take_changed(self, *, every: bool) -> Views:
        """Views of the sessions that carried data or changed their channels since the last call; ``every``: of all."""
        return [self._view(one) for one in self._index.open_sessions() if self._has_changed(one) or every]

    def _has_changed(self, session: Session) -> bool:
        """Notes what is compared, as a hash: a tuple for each of many sessions is worth saving."""
        if session.gateway_id is None:
            return True
        with suppress(GatewayError):
            state = self._gateway.traffic(session.gateway_id), session.connection_id, session.dtls_cipher
            before, session.noted = session.noted, hash(state)
            return session.noted != before
        return False  # it has just ended, and is accounted for by its end

    def traffic(self) -> Traffic:
        """Tunnels at this moment, and what all have carried since the start."""
        return Traffic(self._index.tunnel_count, *self._gateway.total_traffic())

    def get(self, session_id: str) -> SessionView | None:
        session = self._index.find_by_id(session_id)
        return self._view(session) if session is not None and session.has_tunnel else None

    def kill(
        self, session_id: str, text: str, *, now: float | None = None, reason: CloseReason = CloseReason.KILLED
    ) -> bool:
        """End a session, or a login that waits for its tunnel, and tell its client ``text``.

        Returns false if there is none.
        """
        session = self._index.find_by_id(session_id)
        if session is None or session.phase >= Phase.CLOSING:
            return False
        self._closer.close_session(session, reason, now, text)
        return True

    def disconnect(self, session_id: str, text: str, now: float) -> bool:
        """As ``kill``, but its client may come back with its cookie for ``disconnect_grace``."""
        session = self._index.find_by_id(session_id)
        if session is None or session.phase is not Phase.OPEN:
            return False
        self._closer.close_session(session, CloseReason.KILLED, now, text)
        self._disconnects.add_session(session, now)
        return True

    def waiting_logins(self) -> tuple[WaitingLogin, ...]:
        """The logins whose clients have not asked for a tunnel yet."""
        return tuple(session.waiting() for session in self._index if session.phase is Phase.WAITING)

    def statistics(self) -> SessionStatistics:
        return self._statistics.snapshot()

    def reset_statistics(self) -> None:
        """Begin another period of the statistics."""
        self._statistics.reset()

    def kill_user(self, user: str, text: str, *, now: float | None = None) -> int:
        """End every session of ``user``, logins without a tunnel too. Returns how many had a tunnel."""
        own = [session for session in self._index.find_by_user(user) if session.phase < Phase.CLOSING]
        self._disconnects.forget_user(user)
        tunnels = sum(session.has_tunnel for session in own)
        for session in own:
            self._closer.close_session(session, CloseReason.KILLED, now, text)
        return tunnels

    def change_user(
        self, before: UserRecord, after: UserRecord, *, dry_run: bool = False, now: float | None = None
    ) -> Views:
        """Apply a changed record of the directory. Returns the sessions that this ended, or would end."""
        return self._opened(self._changes.change_user(before, after, now, dry_run=dry_run))

    def change_groups(
        self, groups: Mapping[str, Overrides], *, dry_run: bool = False, now: float | None = None
    ) -> Views:
        """Replace the groups that are not of the configuration. Returns the sessions that this ended, or would end."""
        return self._opened(self._changes.change_groups(groups, now, dry_run=dry_run))

    async def reassess(self, now: float | None = None) -> Views:
        """Ask the policy about every session and end those it refuses. Returns these.

        Other tasks run between slices. Sessions opened meanwhile were admitted by the policy in force. Rate limits and
        penalties with an end concern new attempts, and end no session (``Engine.judge_connected``).
        """
        ended: Views = []
        for number, session in enumerate(self._index.open_sessions(), start=1):
            if number % REASSESSED_AT_ONCE == 0:
                await asyncio.sleep(0)
            if session.phase is not Phase.OPEN:
                continue  # it ended meanwhile
            refusals = (self._refusal(session, address, now) for address in session.sources)
            verdict = next((refusal for refusal in refusals if refusal is not None), None)
            if verdict is not None:
                ended.append(self._view(session))
                self._closer.close_session(session, CloseReason.POLICY, now, self._refusal_text(verdict))
        return ended

    def affected_by(self, network: IPv4Network | IPv6Network) -> Views:
        """The sessions that a block of ``network`` would end."""
        return [
            self._view(session)
            for session in self._index.open_sessions()
            if any(self._engine.would_block(network, address) for address in session.sources)
        ]

    def _opened(self, sessions: Iterable[Session]) -> Views:
        """Views of those that had a tunnel."""
        return [session.view() for session in sessions if session.peer is not None]

    def _refusal(self, session: Session, address: Address, now: float | None) -> Verdict | None:
        verdict = self._engine.judge_connected(address, user=session.user.name, groups=session.groups, now=now)
        return verdict if verdict.action is Action.REJECT else None

    def _refusal_text(self, verdict: Verdict) -> str:
        return refusal_text(verdict, self._engine.rule_text(verdict.rule_id) if verdict.rule_id is not None else "")

    def _view(self, session: Session) -> SessionView:
        self._read_counters(session)
        return session.view()

    def _read_counters(self, session: Session) -> None:
        if session.gateway_id is not None:
            with suppress(GatewayError):  # it has just ended, its final counters are on their way
                session.counters = self._gateway.counters(session.gateway_id)
