# SPDX-License-Identifier: GPL-3.0-or-later
"""All sessions: who is logged in, who has a tunnel, and every way in which one begins, changes its channel and ends.

Nothing here waits (``reassess`` lets others have a turn): the gateway is told and answers by events, the journal is
written behind a queue, the time is an argument. Opening a tunnel takes two steps because a session that makes room for
a new one holds its addresses until the gateway let go of them: ``begin_tunnel`` takes the lease, ``open_tunnel`` (once
the admission ``has_room``) the addresses and the tunnel.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sentry_engine import Action, Event, Verdict
from vpn_frontend.gateway.interface import Cause, Counters, GatewayError, TunnelParameters
from vpn_frontend.ports import CloseReason, SessionView, VpnEvent
from vpn_frontend.protocol.connect_response import TunnelGrant, carries_ipv6, negotiate_mtu
from vpn_frontend.protocol.cstp import disconnect_frame, parse_farewell
from vpn_frontend.protocol.dtls_negotiation import choose_dtls
from vpn_frontend.sessions.address_pool import AddressError, AddressPools
from vpn_frontend.sessions.admission import Admission, CookieError, Login, RefusedError
from vpn_frontend.sessions.close_messages import farewell_text, refusal_text
from vpn_frontend.sessions.cookies import CookieJar
from vpn_frontend.sessions.eviction import Places
from vpn_frontend.sessions.liveness_probe import CONTEST_PATIENCE
from vpn_frontend.sessions.pending_logins import WaitingRoom
from vpn_frontend.sessions.session import Peer, Phase, Session

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Network, IPv6Network

    from sentry_engine import Engine
    from vpn_frontend.gateway.interface import Address, ChannelDown, DtlsDown, DtlsUp, Gateway, SessionClosed
    from vpn_frontend.ports import EventSink, UserRecord
    from vpn_frontend.protocol.connect_request import TunnelRequest
    from vpn_frontend.sessions.liveness_probe import Contest
    from vpn_frontend.sessions.recorder import SessionRecorder
    from vpn_frontend.settings import VpnSettings

REASSESSED_AT_ONCE = 100  # sessions; about 2 ms in which nothing else happens
Views = list[SessionView]  # names for what ``SessionTable.list`` hides inside its class
Sessions = list[Session]


class SessionTable:
    def __init__(
        self,
        settings: VpnSettings,
        *,
        engine: Engine,
        gateway: Gateway,
        recorder: SessionRecorder,
        events: EventSink,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._gateway = gateway
        self._recorder = recorder
        self._events = events
        self._wall_clock = wall_clock
        self._pools = AddressPools(settings.network.ipv4_pool, settings.network.ipv6_pool)
        self._cookies: CookieJar[Session] = CookieJar()
        self._sessions: dict[str, Session] = {}  # every one that is not CLOSED, by id, in the order of login
        self._by_user: dict[str, dict[str, Session]] = {}
        self._by_gateway: dict[int, Session] = {}
        self._by_connection: dict[int, Session] = {}  # that are or become a channel
        self._waiting = WaitingRoom()
        self._places = Places(engine, gateway, of_user=self._of_user, end=self._end)

    # Login and tunnel

    def log_in(self, login: Login, now: float) -> str:
        """The cookie of a new session. Raises ``RefusedError`` when too many wait for their tunnels."""
        leaving = self._waiting.who_leaves_for(login.user.name)
        if leaving is not None:
            self._end(leaving, CloseReason.REPLACED, now)
        session = Session(
            id=secrets.token_hex(8),
            user=login.user,
            groups=login.groups,
            device=login.device,
            login_at=now,
            started_at=self._wall_clock(),
            user_agent=login.user_agent,
            expires_at=now + self._settings.session.cookie_timeout,
        )
        cookie, session.digest = self._cookies.issue(session)
        self._sessions[session.id] = session
        self._by_user.setdefault(session.user.name, {})[session.id] = session
        self._waiting.enter(session)
        return cookie

    def find_session(self, cookie: str) -> Session:
        """The session of ``cookie``. Raises ``CookieError``."""
        session = self._cookies.find(cookie)
        if session is None or session.phase >= Phase.CLOSING:
            raise CookieError
        return session

    def log_out(self, cookie: str, now: float) -> None:
        session = self._cookies.find(cookie)
        if session is not None:
            self._end(session, CloseReason.LOGOUT, now)

    def begin_tunnel(
        self,
        session: Session,
        user: UserRecord,
        peer: Peer,
        request: TunnelRequest,
        now: float,
        probe: Contest | None = None,
    ) -> Admission:
        """Take the lease for a tunnel. Raises ``CookieError`` or ``RefusedError``; then nothing is held.

        The caller passes the admission to ``open_tunnel`` once it ``has_room``, or to ``abandon_tunnel``. After
        ``ContestedError`` it waits until the probe is decided, ``CONTEST_PATIENCE`` at most, and calls again with it.
        """
        if session.phase >= Phase.CLOSING:
            raise CookieError
        if self._time_is_over(session, now):
            self._end(session, CloseReason.SESSION_TIMEOUT, now)
            raise CookieError
        if session.phase is Phase.WAITING and self._recorder.behind:
            raise RefusedError("The server is busy. Please try again.", "journal_behind")
        session.user = user if user.name == session.user.name else replace(user, name=session.user.name)
        admission = self._places.admit(session, peer, request, now, probe)
        session.lease = admission.lease
        session.admissions += 1
        return admission

    def open_tunnel(
        self, admission: Admission, respond: Callable[[TunnelGrant], tuple[bytes, bytes]], now: float
    ) -> None:
        """Make the peer's connection the channel of the session, whose tunnel is opened unless it is open.

        ``respond`` is called at most once, with what was granted. It returns the head of the HTTP answer and the bytes
        that followed the request; from then on the connection is the gateway's. Raises ``CookieError`` or
        ``RefusedError`` before that call. The admission is consumed in any case.
        """
        session, peer = admission.session, admission.peer
        try:
            grant = self._establish(admission, now)
        finally:
            self.abandon_tunnel(admission)
        try:
            head, early = respond(grant)
        except BaseException:
            if session.peer is None:
                self._end(session, CloseReason.FAILED, now)
            raise
        try:
            self._attach(admission, grant, head, early)
        except GatewayError:
            self.connection_closed(peer.connection_id, Cause.LOCAL, now)

    def abandon_tunnel(self, admission: Admission) -> None:
        """Give the lease back, unless a tunnel or another admission lives on it. Idempotent."""
        if not admission.held:
            return
        admission.held = False
        session = admission.session
        session.admissions -= 1
        if session.phase is Phase.WAITING and session.admissions == 0 and session.lease is not None:
            self._engine.release(session.lease)
            session.lease = None

    # What the gateway reports

    def channel_down(self, event: ChannelDown, now: float) -> None:
        session = self._by_gateway.get(event.session)
        if session is None or session.phase is not Phase.OPEN:
            return
        session.counters = event.counters
        if session.connection_id != event.connection_id:
            return  # a newer connection_id is taking over already
        if event.cause is Cause.PEER_DISCONNECT and parse_farewell(event.farewell).final:
            self._end(session, CloseReason.USER_DISCONNECT, now)
            return
        rekeys = event.cause is Cause.PEER_CLOSED and session.is_due_to_rekey(self._settings.session.rekey_time, now)
        announced = rekeys or event.cause is Cause.PEER_DISCONNECT
        self._lose_channel(session, event.cause, now, back_by=now + CONTEST_PATIENCE if announced else now)

    def connection_closed(self, connection_id: int, cause: Cause, now: float) -> None:
        """A connection closed before it became the channel."""
        session = self._by_connection.get(connection_id)
        if session is not None and session.phase is Phase.OPEN and session.connection_id == connection_id:
            self._lose_channel(session, cause, now, back_by=now)

    def alive(self, gateway_id: int) -> None:
        session = self._by_gateway.get(gateway_id)
        if session is not None:
            session.signs_of_life += 1

    def dtls_up(self, event: DtlsUp) -> None:
        session = self._by_gateway.get(event.session)
        if session is not None and session.phase is Phase.OPEN:
            session.dtls_cipher, session.dtls_address = event.cipher, event.peer
            self._emit(VpnEvent.DTLS_UP, session, cipher=event.cipher)

    def dtls_down(self, event: DtlsDown) -> None:
        session = self._by_gateway.get(event.session)
        if session is not None and session.phase is Phase.OPEN and session.dtls_cipher:
            session.dtls_cipher, session.dtls_address = "", None
            self._emit(VpnEvent.DTLS_DOWN, session, cause=event.cause.name.lower())

    def idle(self, gateway_id: int, now: float) -> None:
        session = self._by_gateway.get(gateway_id)
        if session is not None and session.phase is Phase.OPEN:
            self._end(session, CloseReason.IDLE_TIMEOUT, now)

    def closed(self, event: SessionClosed, now: float) -> None:
        """The gateway let go of a session: its addresses are free, its counters final."""
        session = self._by_gateway.get(event.session)
        if session is None:
            return
        session.counters = event.counters
        if session.phase is Phase.OPEN:  # the gateway gave up by itself
            self._settle_end(session, CloseReason.FAILED, now)
        self._forget(session)

    # Time and operators

    def expire(self, now: float) -> None:
        """End what has outlived its time; to be called about every second."""
        for session in list(self._sessions.values()):
            if session.phase >= Phase.CLOSING:
                if session.unsaid is not None:
                    self._let_go(session, session.unsaid)
                continue
            if self._time_is_over(session, now):
                self._end(session, CloseReason.SESSION_TIMEOUT, now)
            elif session.expires_at is not None and now >= session.expires_at:
                self._end(session, CloseReason.CONNECTION_LOST, now)

    def list(self) -> Views:
        """Every session with a tunnel, roaming ones too, in the order of login, with its counters of this moment."""
        return [self._view(session) for session in self._open_sessions()]

    def get(self, session_id: str) -> SessionView | None:
        session = self._sessions.get(session_id)
        return self._view(session) if session is not None and session.phase is Phase.OPEN else None

    def kill(self, session_id: str, text: str, *, now: float | None = None) -> bool:
        """End a session, telling its client ``text``; whether there was such a session."""
        session = self._sessions.get(session_id)
        if session is None or session.phase is not Phase.OPEN:
            return False
        self._end(session, CloseReason.KILLED, now, text)
        return True

    def kill_user(self, user: str, text: str, *, now: float | None = None) -> int:
        """End every session and every login of ``user``; how many had a tunnel."""
        own = [session for session in self._of_user(user) if session.phase < Phase.CLOSING]
        tunnels = sum(session.phase is Phase.OPEN for session in own)
        for session in own:
            self._end(session, CloseReason.KILLED, now, text)
        return tunnels

    async def reassess(self, now: float | None = None) -> Views:
        """Ask the policy about every session again and end those it refuses; returns them, when all have been asked.

        Between slices the loop has its turn. Whoever comes meanwhile was let in by the policy that is asked. A rate
        limit or a passing penalty cuts nobody who is in: they are about new attempts.
        """
        cut: Views = []
        for number, session in enumerate(self._open_sessions(), start=1):
            if number % REASSESSED_AT_ONCE == 0:
                await asyncio.sleep(0)
            if session.phase is not Phase.OPEN:
                continue  # it ended meanwhile
            refusals = (self._reassess(session, address, now) for address in session.sources)
            verdict = next((refusal for refusal in refusals if refusal is not None), None)
            if verdict is not None:
                cut.append(self._view(session))
                self._end(session, CloseReason.POLICY, now, self._refusal(verdict))
        return cut

    def affected_by(self, network: IPv4Network | IPv6Network) -> Views:
        """The sessions that a block of ``network`` would cut."""
        return [
            self._view(session)
            for session in self._open_sessions()
            if any(self._engine.would_block(network, address) for address in session.sources)
        ]

    def shut_down(self, text: str, now: float) -> None:
        """Say goodbye to every client; ``len`` falls to 0 as the gateway answers."""
        for session in list(self._sessions.values()):
            if session.phase < Phase.CLOSING:
                self._end(session, CloseReason.SHUTDOWN, now, text)

    def abandon_gateway(self, now: float) -> None:
        """The gateway is gone: account for what it did not answer, with the last counters known."""
        for session in list(self._sessions.values()):
            if session.phase < Phase.CLOSING:
                self._settle_end(session, CloseReason.SHUTDOWN, now)
            self._forget(session)

    def __len__(self) -> int:
        """Sessions that have, or are giving up, a tunnel."""
        return len(self._by_gateway)

    # Inner workings

    def _of_user(self, user: str) -> Sessions:
        return [*self._by_user.get(user, {}).values()]

    def _open_sessions(self) -> Sessions:
        return [session for session in self._sessions.values() if session.phase is Phase.OPEN]

    def _time_is_over(self, session: Session, now: float) -> bool:
        limit = self._settings.session.session_timeout
        return limit > 0 and now >= session.login_at + limit

    def _establish(self, admission: Admission, now: float) -> TunnelGrant:
        session, peer, request = admission.session, admission.peer, admission.request
        if session.phase >= Phase.CLOSING:
            raise CookieError
        mtu = negotiate_mtu(self._settings.network.mtu, request, outer_ipv6=peer.address.version == 6)
        dpd = self._settings.session.mobile_dpd if request.mobile else self._settings.session.dpd
        if session.phase is Phase.WAITING:
            self._open(session, peer, request, mtu=mtu, dpd=dpd)
        addresses = session.addresses
        if addresses is None:
            raise CookieError
        session.channel_since = now
        limit = self._settings.session.session_timeout
        remaining = max(1, int(session.login_at + limit - now)) if limit else None
        dtls = choose_dtls(request, peer.exporter_key, peer.proof_key) if self._settings.dtls else None
        return TunnelGrant(addresses.ipv4, addresses.ipv6, mtu, remaining, dpd, dtls)

    def _open(self, session: Session, peer: Peer, request: TunnelRequest, *, mtu: int, dpd: int) -> None:
        try:
            addresses = self._pools.take(
                session.user.name,
                want_ipv4=request.wants_ipv4,
                want_ipv6=request.wants_ipv6 and carries_ipv6(mtu),
                static_ipv4=session.user.ipv4,
                static_ipv6=session.user.ipv6,
            )
        except AddressError as error:
            raise RefusedError(f"No tunnel: {error}.", "no_address") from error
        parameters = TunnelParameters(
            addresses.ipv4,
            addresses.ipv6,
            mtu,
            dpd,
            idle_timeout=self._settings.session.idle_timeout,
            rekey=self._settings.session.rekey_time,
        )
        try:
            session.gateway_id = self._gateway.open_session(peer.connection_id, parameters)
        except GatewayError as error:
            self._pools.give_back(addresses)
            raise RefusedError("The server cannot take another tunnel now.", "gateway_full") from error
        session.addresses, session.mtu, session.started_at = addresses, mtu, self._wall_clock()
        session.advance(Phase.OPEN)
        self._waiting.leave(session)
        self._by_gateway[session.gateway_id] = session

    def _attach(self, admission: Admission, grant: TunnelGrant, head: bytes, early: bytes) -> None:
        """Make the peer's connection the channel, and expect the DTLS of ``grant``; both replace what was there."""
        session, peer, request = admission.session, admission.peer, admission.request
        if session.gateway_id is None:
            raise GatewayError(f"session {session.id} has no tunnel to attach to")
        first = session.peer is None
        if session.connection_id is not None:
            self._by_connection.pop(session.connection_id, None)
        session.peer, session.connection_id, session.expires_at = peer, peer.connection_id, None
        session.hostname = request.hostname or session.hostname
        session.user_agent = request.user_agent or session.user_agent
        session.signs_of_life += 1
        self._by_connection[peer.connection_id] = session
        if grant.mtu != session.mtu:
            session.mtu = grant.mtu
            self._gateway.resize(session.gateway_id, grant.mtu)
        session.dtls_cipher, session.dtls_address = "", None
        if grant.dtls is not None:
            self._gateway.set_dtls(session.gateway_id, grant.dtls)
        self._gateway.attach(session.gateway_id, peer.connection_id, head, early)
        if first:
            view = session.view()
            self._recorder.opened(view)
            self._emit(VpnEvent.SESSION_OPENED, session, ipv4=view.ipv4, ipv6=view.ipv6)
        else:
            self._emit(VpnEvent.SESSION_ROAMED, session)

    def _lose_channel(self, session: Session, cause: Cause, now: float, *, back_by: float) -> None:
        if session.connection_id is not None:
            self._by_connection.pop(session.connection_id, None)
        session.connection_id = None
        session.expires_at = now + self._settings.session.cookie_timeout
        session.back_by = back_by
        self._emit(VpnEvent.CHANNEL_LOST, session, cause=cause.name.lower())

    def _end(self, session: Session, reason: CloseReason, now: float | None, text: str = "") -> None:
        """Give back what only the living need, and tell the gateway, whose answer brings ``closed``."""
        if session.phase >= Phase.CLOSING:
            return
        self._settle_end(session, reason, now)
        if session.gateway_id is None:
            self._forget(session)
        else:
            farewell = b"" if reason is CloseReason.USER_DISCONNECT else disconnect_frame(text or farewell_text(reason))
            self._let_go(session, farewell)

    def _let_go(self, session: Session, farewell: bytes) -> None:
        """Where the gateway has no memory to be told, ``expire`` tells it again, or the addresses would be lost."""
        session.unsaid = None
        try:
            if session.gateway_id is not None:
                self._gateway.close_session(session.gateway_id, farewell)
        except GatewayError as error:
            session.unsaid = farewell
            self._events.emit(VpnEvent.BACKEND_FAILED, what="close_session", error=repr(error))

    def _settle_end(self, session: Session, reason: CloseReason, now: float | None) -> None:
        self._waiting.leave(session)
        session.advance(Phase.CLOSING)
        session.close_reason = reason
        self._cookies.revoke(session.digest)
        if session.connection_id is not None:
            self._by_connection.pop(session.connection_id, None)
        if session.lease is not None:
            self._engine.release(session.lease)
            session.lease = None
        if session.peer is not None:
            self._engine.decide(Event.DISCONNECT, session.peer.address, user=session.user.name, now=now)

    def _forget(self, session: Session) -> None:
        session.advance(Phase.CLOSED)
        del self._sessions[session.id]
        own = self._by_user[session.user.name]
        del own[session.id]
        if not own:
            del self._by_user[session.user.name]
        if session.gateway_id is not None:
            self._by_gateway.pop(session.gateway_id, None)
        if session.addresses is not None:
            self._pools.give_back(session.addresses)
        if session.peer is not None and session.close_reason is not None:
            session.connection_id = None
            self._recorder.closed(session.view(), session.close_reason)
            counters = session.counters
            self._emit(
                VpnEvent.SESSION_CLOSED,
                session,
                reason=session.close_reason.value,
                rx_bytes=counters.rx_bytes,
                tx_bytes=counters.tx_bytes,
            )

    def _reassess(self, session: Session, address: Address, now: float | None) -> Verdict | None:
        explanation = self._engine.explain(address, user=session.user.name, groups=session.groups, now=now)
        return explanation.verdict if explanation.verdict.action is Action.REJECT else None

    def _refusal(self, verdict: Verdict) -> str:
        return refusal_text(verdict, self._engine.rule_text(verdict.rule_id) if verdict.rule_id is not None else "")

    def _view(self, session: Session) -> SessionView:
        return session.view(self._counters(session))

    def _counters(self, session: Session) -> Counters:
        if session.gateway_id is None:
            return session.counters
        with suppress(GatewayError):  # it ended this moment: the last known will do, the final ones are on their way
            session.counters = self._gateway.counters(session.gateway_id)
        return session.counters

    def _emit(self, kind: VpnEvent, session: Session, **fields: object) -> None:
        address = None if session.peer is None else session.peer.address
        self._events.emit(kind, session=session.id, user=session.user.name, address=address, **fields)
