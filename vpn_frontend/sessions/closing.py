# SPDX-License-Identifier: GPL-3.0-or-later
"""Closing of sessions: gives back what they hold, tells the gateway, accounts for them when it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine import Event
from vpn_frontend.gateway.interface import GatewayError
from vpn_frontend.ports import CloseReason, VpnEvent
from vpn_frontend.protocol.cstp import disconnect_frame
from vpn_frontend.sessions.close_messages import close_text
from vpn_frontend.sessions.persistence.resumption import draft_resumption
from vpn_frontend.sessions.records.session_events import emit_session_event
from vpn_frontend.sessions.session import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry_engine import Engine
    from vpn_frontend.gateway.interface import Gateway
    from vpn_frontend.ports import EventSink
    from vpn_frontend.sessions.addresses.pools import AddressPools
    from vpn_frontend.sessions.index import SessionIndex
    from vpn_frontend.sessions.iroutes import Iroutes
    from vpn_frontend.sessions.limits.traffic import TrafficLimits
    from vpn_frontend.sessions.limits.usage import UsageLedger
    from vpn_frontend.sessions.pending_logins import PendingLogins
    from vpn_frontend.sessions.records.hook_calls import HookCalls
    from vpn_frontend.sessions.records.recent_disconnects import RecentDisconnects
    from vpn_frontend.sessions.records.recorder import SessionRecorder
    from vpn_frontend.sessions.records.statistics import StatisticsCounter
    from vpn_frontend.sessions.session import Session


class SessionCloser:
    """Ends sessions. Every way out of a session leads through here."""

    def __init__(
        self,
        *,
        index: SessionIndex,
        pending: PendingLogins,
        pools: AddressPools,
        iroutes: Iroutes,
        engine: Engine,
        gateway: Gateway,
        recorder: SessionRecorder,
        events: EventSink,
        traffic: TrafficLimits,
        ledger: UsageLedger,
        disconnects: RecentDisconnects,
        statistics: StatisticsCounter,
        hook_calls: HookCalls,
    ) -> None:
        self._index = index
        self._pending = pending
        self._pools = pools
        self._iroutes = iroutes
        self._engine = engine
        self._gateway = gateway
        self._recorder = recorder
        self._events = events
        self._traffic = traffic
        self._ledger = ledger
        self._disconnects = disconnects
        self._statistics = statistics
        self._hook_calls = hook_calls
        self.give_back: Callable[[Session], None] = self._give_back_addresses  # a node of a fleet tells the others too

    def close_session(self, session: Session, reason: CloseReason, now: float | None, text: str = "") -> None:
        """Release cookie and lease at once; the gateway's answer brings ``finish_session``. Idempotent.

        The client is told ``text``, by default the text of ``reason``.
        """
        if session.phase >= Phase.CLOSING:
            return
        self.release_session(session, reason, now)
        if reason is CloseReason.USER_DISCONNECT and now is not None:
            self._disconnects.add_session(session, now)
        if session.gateway_id is None:
            self.finish_session(session)
            return
        silent = reason is CloseReason.USER_DISCONNECT or session.moved  # the client has left already
        self._close_in_gateway(session, b"" if silent else disconnect_frame(text or close_text(reason)))

    def make_room(self, user: str, now: float) -> None:
        """End the login that one more of ``user`` evicts, if there are as many as may wait. Raises ``RefusedError``."""
        evicted = self._pending.find_evicted(user)
        if evicted is not None:
            self.close_session(evicted, CloseReason.REPLACED, now)

    def end_due(self, now: float) -> None:
        """End the sessions whose time is over. Repeat the commands for which the gateway had no memory."""
        for session in self._index.due_sessions(now):
            if session.unsent_close is not None:
                self._close_in_gateway(session, session.unsent_close)
            elif session.is_over(now):
                self.close_session(session, CloseReason.SESSION_TIMEOUT, now)
            elif session.expires_at is not None and now >= session.expires_at:
                self.close_session(session, CloseReason.CONNECTION_LOST, now)
            else:
                self._index.reschedule(session)

    def release_session(self, session: Session, reason: CloseReason, now: float | None) -> None:
        """Enter ``CLOSING``: give back what only a living session needs."""
        self._pending.remove_login(session)
        session.advance(Phase.CLOSING)
        session.close_reason, session.check_at = reason, None
        self._index.reschedule(session)
        self._index.revoke_cookie(session)
        self._index.set_connection(session, None)
        if session.lease is not None:
            self._engine.release(session.lease)
            session.lease = None
        if session.peer is not None:
            self._engine.decide(Event.DISCONNECT, session.peer.address, user=session.user.name, now=now)

    def finish_session(self, session: Session) -> None:
        """Enter ``CLOSED``: give the addresses back and account for the session with its last counters."""
        session.advance(Phase.CLOSED)
        self._ledger.account_session(session, session.counters)
        self._traffic.release(session)
        self._index.remove_session(session)
        self.give_back(session)
        self._iroutes.release(session)
        self.report_end(session)

    def finish_now(self, session: Session) -> None:
        """Enter ``CLOSED`` before the gateway has answered: what it answers later is of no session any more."""
        if session.phase is Phase.CLOSING:
            self.finish_session(session)

    def report_end(self, session: Session) -> None:
        """Account for a session that holds nothing any more, with its last counters. Its hook is told."""
        if session.moved:  # it goes on at another node, with these counters
            self._hook_calls.leave(session)
            if session.peer is not None:
                view = session.view()
                self._recorder.changed(view, draft_resumption(session, view, changed=True))
            return
        self._hook_calls.end(session)
        if session.peer is None or session.close_reason is None:
            return  # it never had a channel, so it was never reported as opened
        self._recorder.closed(session.view(), session.close_reason)
        duration = self._statistics.session_ended(session)
        emit_session_event(
            self._events,
            VpnEvent.SESSION_CLOSED,
            session,
            reason=session.close_reason.value,
            rx_bytes=session.counters.rx_bytes,
            tx_bytes=session.counters.tx_bytes,
            dtls_rx_bytes=session.counters.dtls_rx_bytes,
            dtls_tx_bytes=session.counters.dtls_tx_bytes,
            duration=duration,
        )

    def _give_back_addresses(self, session: Session) -> None:
        if session.addresses is not None:
            self._pools.give_back(session.addresses)

    def _close_in_gateway(self, session: Session, frame: bytes) -> None:
        """The addresses are held until the gateway answers: what it had no memory for is repeated when next due."""
        before, session.unsent_close = session.unsent_close, None
        try:
            if session.gateway_id is not None:
                self._gateway.close_session(session.gateway_id, frame)
        except GatewayError as error:
            session.unsent_close = frame
            self._events.emit(VpnEvent.BACKEND_FAILED, what="close_session", error=repr(error))
        if session.unsent_close is not before:
            self._index.reschedule(session)
