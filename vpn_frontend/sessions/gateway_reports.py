# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway reports of sessions. Reports of sessions that are gone, or of old channels, change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpn_frontend.gateway.interface import Cause
from vpn_frontend.ports import CloseReason, VpnEvent
from vpn_frontend.protocol.cstp import parse_disconnect
from vpn_frontend.sessions.liveness_probe import PROBE_TIMEOUT
from vpn_frontend.sessions.records.session_events import emit_session_event
from vpn_frontend.sessions.session import Phase

if TYPE_CHECKING:
    from vpn_frontend.gateway.interface import ChannelDown, DtlsDown, DtlsUp, SessionClosed
    from vpn_frontend.ports import EventSink
    from vpn_frontend.sessions.closing import SessionCloser
    from vpn_frontend.sessions.index import SessionIndex
    from vpn_frontend.sessions.session import Session


class GatewayReports:
    """One method per event of the gateway. ``now`` is monotonic."""

    def __init__(self, index: SessionIndex, closer: SessionCloser, events: EventSink) -> None:
        self._index = index
        self._closer = closer
        self._events = events

    def channel_down(self, event: ChannelDown, now: float) -> None:
        session = self._find_open(event.session)
        if session is None:
            return
        session.counters = event.counters
        if session.connection_id != event.connection_id:
            return  # a newer connection is taking over
        left = event.cause is Cause.PEER_DISCONNECT
        if left and parse_disconnect(event.close_message).final:
            self._closer.close_session(session, CloseReason.USER_DISCONNECT, now)
            return
        returns = left or (event.cause is Cause.PEER_CLOSED and session.is_due_to_rekey(now))
        self._lose_channel(session, event.cause, now, expected_until=now + PROBE_TIMEOUT if returns else now)

    def connection_closed(self, connection_id: int, cause: Cause, now: float) -> None:
        """A connection that was to become a channel has closed before."""
        session = self._index.find_by_connection(connection_id)
        if session is not None and session.phase is Phase.OPEN:
            self._lose_channel(session, cause, now, expected_until=now)

    def session_alive(self, gateway_id: int) -> None:
        session = self._index.find_by_gateway_id(gateway_id)
        if session is not None:
            session.heard_count += 1

    def dtls_up(self, event: DtlsUp) -> None:
        session = self._find_open(event.session)
        if session is not None:
            session.dtls_cipher, session.dtls_address = event.cipher, event.peer
            emit_session_event(self._events, VpnEvent.DTLS_UP, session, cipher=event.cipher)

    def dtls_down(self, event: DtlsDown) -> None:
        session = self._find_open(event.session)
        if session is not None and session.dtls_cipher:
            session.dtls_cipher, session.dtls_address = "", None
            emit_session_event(self._events, VpnEvent.DTLS_DOWN, session, cause=event.cause.name.lower())

    def session_idle(self, gateway_id: int, now: float) -> None:
        session = self._find_open(gateway_id)
        if session is not None:
            self._closer.close_session(session, CloseReason.IDLE_TIMEOUT, now)

    def session_closed(self, event: SessionClosed, now: float) -> None:
        """The gateway has freed the session: its addresses are free, its counters final."""
        session = self._index.find_by_gateway_id(event.session)
        if session is None:
            return
        session.counters = event.counters
        if session.phase is Phase.OPEN:  # the gateway gave up by itself
            self._closer.release_session(session, CloseReason.FAILED, now)
        self._closer.finish_session(session)

    def _find_open(self, gateway_id: int) -> Session | None:
        session = self._index.find_by_gateway_id(gateway_id)
        return session if session is not None and session.phase is Phase.OPEN else None

    def _lose_channel(self, session: Session, cause: Cause, now: float, *, expected_until: float) -> None:
        self._index.set_connection(session, None)
        self._index.set_expiry(session, now + session.settings.session.cookie_timeout)
        session.expected_until = expected_until
        emit_session_event(self._events, VpnEvent.CHANNEL_LOST, session, cause=cause.name.lower())
