# SPDX-License-Identifier: GPL-3.0-or-later
"""All sessions: logins, tunnels and expiry.

Nothing here waits: the gateway is sent commands and answers by events, the journal is written behind a queue, the time
is an argument. Opening a tunnel takes two steps, because an evicted session holds its addresses until the gateway has
closed it: ``begin_tunnel`` takes the lease, ``open_tunnel`` (once the admission ``has_room``) the addresses.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

from sentry_engine import Action
from vpn_frontend.gateway.interface import Cause, GatewayError
from vpn_frontend.ports import CloseReason, VpnEvent
from vpn_frontend.protocol.connect_response import TunnelGrant, carries_ipv6, negotiate_mtu
from vpn_frontend.protocol.dtls_negotiation import choose_dtls
from vpn_frontend.sessions.addresses.outside import OutsideAddresses
from vpn_frontend.sessions.addresses.pool import NoAddressError
from vpn_frontend.sessions.addresses.pools import AddressPools
from vpn_frontend.sessions.admission import Admission, CookieError, Login, RefusedError
from vpn_frontend.sessions.closing import SessionCloser
from vpn_frontend.sessions.effective_settings import SettingsResolver
from vpn_frontend.sessions.eviction import AdmissionControl
from vpn_frontend.sessions.fleet.entrance import FleetEntrance
from vpn_frontend.sessions.fleet.lent_pool import pool_type
from vpn_frontend.sessions.fleet.logins import FleetLogins
from vpn_frontend.sessions.fleet.port import ID_SIZE as FLEET_ID_SIZE
from vpn_frontend.sessions.gateway_reports import GatewayReports
from vpn_frontend.sessions.index import SessionIndex
from vpn_frontend.sessions.iroutes import Iroutes
from vpn_frontend.sessions.limits.access import AccessRefusal, find_refusal, is_limited, next_check
from vpn_frontend.sessions.limits.traffic import TrafficLimits
from vpn_frontend.sessions.limits.usage import UsageLedger, local_day
from vpn_frontend.sessions.live_sessions import LiveSessions
from vpn_frontend.sessions.pending_logins import PendingLogins
from vpn_frontend.sessions.persistence.restorer import SessionRestorer
from vpn_frontend.sessions.persistence.resumption import draft_resumption
from vpn_frontend.sessions.records.hook_calls import HookCalls
from vpn_frontend.sessions.records.recent_disconnects import RecentDisconnects
from vpn_frontend.sessions.records.session_events import emit_session_event
from vpn_frontend.sessions.records.statistics import StatisticsCounter
from vpn_frontend.sessions.session import Peer, Phase, Session
from vpn_frontend.sessions.session_ids import ID_SIZE, SessionIds
from vpn_frontend.sessions.settings_changes import SettingsChanges
from vpn_frontend.sessions.strap import add_key, check_strap
from vpn_frontend.sessions.tunnel_parameters import make_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sentry_engine import Engine
    from vpn_frontend.gateway.interface import Gateway
    from vpn_frontend.ports import (
        AccountingGate,
        ClientRoutes,
        EventSink,
        RemoteLogin,
        SessionHooks,
        Usage,
        UserRecord,
    )
    from vpn_frontend.protocol.connect_request import TunnelRequest
    from vpn_frontend.sessions.addresses.pool import InnerAddresses
    from vpn_frontend.sessions.fleet.port import Fleet
    from vpn_frontend.sessions.liveness_probe import LivenessProbe
    from vpn_frontend.sessions.records.recorder import SessionRecorder
    from vpn_frontend.settings import VpnSettings


class SessionTable:
    """``reports`` takes the gateway's events, ``live`` serves operators; both work on the same sessions."""

    def __init__(
        self,
        settings: VpnSettings,
        *,
        engine: Engine,
        gateway: Gateway,
        recorder: SessionRecorder,
        events: EventSink,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        resolver: SettingsResolver | None = None,
        used_so_far: Mapping[str, Usage] | None = None,
        accounting: AccountingGate | None = None,
        hooks: SessionHooks | None = None,
        client_routes: ClientRoutes | None = None,
        first_number: int = 1,
        fleet: Fleet | None = None,
    ) -> None:
        """``used_so_far``: bytes of users in this day and month, for quotas. ``first_number``: of the first session."""
        self._hook_calls = HookCalls(hooks, wall_clock)
        self._accounting = accounting
        self.settings = settings  # those of tunnels to come; a reload replaces them
        self._strap = settings.auth.strap
        self._resolver = resolver or SettingsResolver(settings)
        self._engine = engine
        self._gateway = gateway
        self._recorder = recorder
        self._events = events
        self._wall_clock = wall_clock
        outside = OutsideAddresses(settings.addresses_within, client_routes)
        own, others = settings.network, settings.more_pools()
        pools = pool_type(fleet, client_routes)
        self._pools = AddressPools(own.ipv4_pool, own.ipv6_pool, others, outside, pools)
        kernel = self._hook_calls.unless_set(client_routes)
        self._iroutes = Iroutes(settings.iroutes_within, self._pools.networks, kernel, outside)
        self._index = SessionIndex()
        self._ledger = UsageLedger(local_day(wall_clock()), used_so_far)
        self._traffic = TrafficLimits(gateway, self._index, self._ledger, self._iroutes)
        self._pending = PendingLogins()
        self._disconnects = RecentDisconnects()
        self._numbers, self._ids = count(first_number), SessionIds()
        self.statistics = StatisticsCounter(wall_clock)
        self._closer = SessionCloser(
            index=self._index,
            pending=self._pending,
            pools=self._pools,
            iroutes=self._iroutes,
            engine=engine,
            gateway=gateway,
            recorder=recorder,
            events=events,
            traffic=self._traffic,
            ledger=self._ledger,
            disconnects=self._disconnects,
            statistics=self.statistics,
            hook_calls=self._hook_calls,
        )
        self.entrance: FleetEntrance | None = None
        if fleet is not None:
            self.entrance = FleetEntrance(fleet, self._index, self._closer, self._pools, engine, gateway)
            parts = self._index, self._closer, self._pending, self._resolver, self._numbers, wall_clock
            self.entrance.logins = FleetLogins(fleet, *parts)
        self._admission_control = AdmissionControl(engine, gateway, self._index, self._closer)
        self.changes = SettingsChanges(
            index=self._index,
            closer=self._closer,
            engine=engine,
            resolver=self._resolver,
            traffic=self._traffic,
            ledger=self._ledger,
            events=events,
            wall_clock=wall_clock,
        )
        self.restorer = SessionRestorer(
            index=self._index,
            closer=self._closer,
            pools=self._pools,
            iroutes=self._iroutes,
            engine=engine,
            gateway=gateway,
            traffic=self._traffic,
            ledger=self._ledger,
            resolver=self._resolver,
            wall_clock=wall_clock,
        )
        self.reports = GatewayReports(self._index, self._closer, events)
        self.live = LiveSessions(
            self._index, self._closer, engine, gateway, self.changes, self._disconnects, self.statistics
        )

    def __len__(self) -> int:
        """Sessions with a tunnel, those that are closing too."""
        return self._index.tunnel_count

    def find_refusal(
        self, user: UserRecord, groups: Sequence[str], remote: RemoteLogin | None = None, host: str = ""
    ) -> AccessRefusal | None:
        """Why a user of these groups may not be connected now. ``None``: the settings allow it."""
        settings = self._resolver.resolve(user, groups, remote, host)
        if settings.quota.day or settings.quota.month:
            self._traffic.account_user(user.name)
        return find_refusal(settings, user.name, self._ledger, self._wall_clock()) if is_limited(settings) else None

    def log_in(self, login: Login, now: float) -> str:
        """Returns the cookie of a new session. Raises ``RefusedError`` when too many logins wait for CONNECT."""
        self._closer.make_room(login.user.name, now)
        remote = login.remote
        settings = self._resolver.resolve(login.user, login.groups, remote, login.host)
        at = self._wall_clock()
        session = Session(
            id=(remote and remote.session_id) or self._ids.take(ID_SIZE if self.entrance is None else FLEET_ID_SIZE),
            number=next(self._numbers),
            user=login.user,
            groups=login.groups,
            settings=settings,
            device=login.device,
            login_at=now,
            logged_in_at=at,
            started_at=at,
            user_agent=login.user_agent,
            expires_at=now + settings.session.cookie_timeout,
            remote=remote,
            certificate_digest=login.certificate_digest,
            strap_keys=(login.strap_key,) if login.strap_key else (),
            login_address=login.address,
            host=login.host,
            check_at=next_check(settings, at),
        )
        cookie = self._index.add_session(session)
        self._pending.add_login(session)
        if self.entrance is not None:
            self.entrance.logins.keep(session)
        return cookie

    def log_out(self, cookie: str, now: float, host: str = "") -> None:
        session = self._index.find_by_cookie(cookie)
        self._disconnects.forget_session(cookie, host)
        if self.entrance is not None and (session is None or session.phase is Phase.WAITING):
            self.entrance.log_out(cookie, host)
        if session is not None and session.host == host:
            self._closer.close_session(session, CloseReason.LOGOUT, now)

    def find_session(self, cookie: str, host: str = "") -> Session:
        """The session of a cookie that was given out at ``host``. Raises ``CookieError``."""
        session = self._index.find_by_cookie(cookie)
        if session is None or session.phase >= Phase.CLOSING:
            raise CookieError
        if session.host != host:
            raise CookieError("another_host")
        return session

    def find_returning(self, cookie: str, now: float, host: str = "") -> Session:
        """The session of a CONNECT, also of a client that disconnected a moment ago. Raises ``CookieError``."""
        former = self._disconnects.take_session(cookie, now, host)
        if former is None:
            return self.find_session(cookie, host)
        settings = self._resolver.resolve(former.user, former.groups, former.remote, former.host)
        session = former.revive(settings, next(self._numbers), now, self._wall_clock())
        self._index.restore_session(session)
        self._pending.add_login(session)
        return session

    def knows_cookie(self, cookie: str) -> bool:
        """True if a CONNECT with it may be answered by a tunnel."""
        if self.entrance is not None and self.entrance.reads(cookie):
            return True
        session = self._index.find_by_cookie(cookie)
        return (session is not None and session.phase < Phase.CLOSING) or self._disconnects.has_session(cookie)

    def find_profile(self, cookie: str, host: str = "") -> str:
        """The client profile of the session. Empty: it has none, or the cookie names no session."""
        try:
            return self.find_session(cookie, host).settings.profile
        except CookieError:
            return ""

    def begin_tunnel(
        self,
        session: Session,
        user: UserRecord,
        peer: Peer,
        request: TunnelRequest,
        now: float,
        probe: LivenessProbe | None = None,
    ) -> Admission:
        """Take the lease for a tunnel. Raises ``CookieError`` or ``RefusedError``; then nothing is held.

        The caller passes the admission to ``open_tunnel`` once it ``has_room``, or to ``abandon_tunnel``. After
        ``ProbePendingError`` it waits until the probe is decided, ``PROBE_TIMEOUT`` at most, and calls again with it.
        """
        if session.phase >= Phase.CLOSING:
            raise CookieError
        if not session.may_use(peer, certificate_optional=self.settings.auth.certificate.at_connect == "optional"):
            raise CookieError("another_certificate")
        if not session.may_come_from(peer.address):
            raise CookieError("another_address")
        check_strap(self._strap, session, peer, request, self._events)
        if session.is_over(now):
            self._closer.close_session(session, CloseReason.SESSION_TIMEOUT, now)
            raise CookieError
        if session.opening:
            raise RefusedError("Another connection of this session is being set up.", "session_opening")
        if session.phase is Phase.WAITING and self._recorder.behind:
            raise RefusedError("The server is busy. Please try again.", "journal_behind")
        if session.phase is Phase.WAITING and self._accounting is not None and self._accounting.refuses:
            raise RefusedError("The accounting server does not answer. Please try again.", "accounting_unavailable")
        if user is not session.user:  # the directory may have changed it since the login
            known = user if user.name == session.user.name else replace(user, name=session.user.name)
            self.changes.refresh(session, known)
        if session.metered:
            self._traffic.account_user(session.user.name)
        refusal = None
        if is_limited(session.settings):
            refusal = find_refusal(session.settings, session.user.name, self._ledger, self._wall_clock())
        if refusal is not None:
            self._closer.close_session(session, refusal.reason, now, refusal.text)
            raise RefusedError(refusal.text, refusal.reason.value)
        admission = self._admission_control.admit_session(session, peer, request, now, probe)
        admission.asks_hook = self._hook_calls.asks(session)
        admission.enters_fleet = self.entrance is not None and session.phase is Phase.WAITING
        session.lease = admission.lease
        session.admissions += 1
        return admission

    def open_tunnel(
        self, admission: Admission, respond: Callable[[TunnelGrant], tuple[bytes, bytes]], now: float
    ) -> None:
        """Make the peer's connection the channel of the session, and open its tunnel unless that is open.

        ``respond`` is called at most once, with what was granted. It returns the head of the HTTP response and the
        bytes that followed the request; ownership of the connection then passes to the gateway. Raises ``CookieError``
        or ``RefusedError`` before that call. Consumes the admission in any case.
        """
        self.attach_tunnel(admission, self.grant_tunnel(admission, now), respond, now)

    def grant_tunnel(self, admission: Admission, now: float) -> TunnelGrant:
        """The first half of ``open_tunnel``: addresses and a session of the gateway. Consumes the admission.

        The caller passes the grant to ``attach_tunnel``, or the session to ``give_up``.
        """
        try:
            return self._grant_tunnel(admission, now)
        finally:
            self.abandon_tunnel(admission)

    async def ask_connect_hook(self, admission: Admission) -> None:
        """Between the halves: run the connect hook. The session has ended if this raises; its former channel too.

        Raises ``CookieError`` or ``RefusedError``.
        """
        session, peer, user = admission.session, admission.peer, admission.session.user.name
        session.opening = True
        try:
            if session.gateway_id is not None:
                session.counters = self._gateway.counters(session.gateway_id)
            accepted = await self._hook_calls.connect(admission)
        except GatewayError as error:  # it has just ended
            raise CookieError from error
        finally:
            session.opening = False
        if session.phase >= Phase.CLOSING:
            raise CookieError
        if not accepted:
            session.hooked = False
            self.give_up(session)
            raise RefusedError("The server refuses this connection.", "connect_hook")
        verdict = self._engine.judge_connected(peer.address, user=user, groups=session.groups)
        if verdict.action is Action.REJECT:  # a block that came while the hook ran
            self.give_up(session)
            raise RefusedError("Access is no longer allowed.", verdict.reason.value)

    def give_up(self, session: Session) -> None:
        """End a session whose tunnel was granted and not attached."""
        self._closer.close_session(session, CloseReason.FAILED, None)

    def attach_tunnel(
        self,
        admission: Admission,
        grant: TunnelGrant,
        respond: Callable[[TunnelGrant], tuple[bytes, bytes]],
        now: float,
    ) -> None:
        """The second half of ``open_tunnel``."""
        session = admission.session
        try:
            head, early = respond(grant)
        except BaseException:
            if session.peer is None:
                self._closer.close_session(session, CloseReason.FAILED, now)
            raise
        try:
            self._attach_channel(admission, grant, head, early)
        except GatewayError:
            self.reports.connection_closed(admission.peer.connection_id, Cause.LOCAL, now)

    def abandon_tunnel(self, admission: Admission) -> None:
        """Give the lease back, unless a tunnel or another admission needs it. Idempotent."""
        if not admission.held:
            return
        admission.held = False
        session = admission.session
        session.admissions -= 1
        if session.phase is Phase.WAITING and session.admissions == 0 and session.lease is not None:
            self._engine.release(session.lease)
            session.lease = None

    def expire(self, now: float) -> None:
        """End the sessions whose time is over. To be called about every second; costs nothing for all others."""
        self.changes.expire(now)
        self._disconnects.expire(now)
        self._closer.end_due(now)

    def shut_down(self, text: str, now: float) -> None:
        """End every session and tell its client ``text``. ``len`` falls to 0 as the gateway answers."""
        for session in self._index:
            self._closer.close_session(session, CloseReason.SHUTDOWN, now, text)

    def abandon_gateway(self, now: float) -> None:
        """The gateway is gone: account for what it did not answer, with the last known counters."""
        for session in self._index:
            if session.phase < Phase.CLOSING:
                self._closer.release_session(session, CloseReason.SHUTDOWN, now)
            self._closer.finish_session(session)

    def _grant_tunnel(self, admission: Admission, now: float) -> TunnelGrant:
        session, peer, request = admission.session, admission.peer, admission.request
        settings = session.settings
        if session.phase >= Phase.CLOSING:
            raise CookieError
        mtu = negotiate_mtu(settings.network.mtu, request, outer_ipv6=peer.address.version == 6)
        dpd = session.dpd = settings.session.mobile_dpd if request.mobile else settings.session.dpd
        if session.phase is Phase.WAITING:
            self._open_in_gateway(session, peer, request, mtu=mtu)
        addresses = session.addresses
        if addresses is None:
            raise CookieError
        session.channel_since = now
        modes = self.settings.dtls_modes if self.settings.dtls and settings.session.dtls else ()
        dtls = choose_dtls(request, peer.exporter_key, peer.proof_key, modes=modes)
        hostname = settings.hostname or request.hostname or session.hostname
        exposed = self._iroutes.exposed_to(session)
        return TunnelGrant(addresses.ipv4, addresses.ipv6, mtu, session.remaining(now), dpd, dtls, hostname, exposed)

    def _open_in_gateway(self, session: Session, peer: Peer, request: TunnelRequest, *, mtu: int) -> None:
        addresses = session.addresses or self._take_addresses(session, request, mtu)
        try:
            self._iroutes.claim(session, addresses)
        except RefusedError:
            session.addresses = None
            self._pools.give_back(addresses)
            raise
        session.addresses, session.mtu, session.mobile = addresses, mtu, request.mobile
        parameters = make_parameters(session, self._traffic.limits_of(session))
        try:
            gateway_id = self._gateway.open_session(peer.connection_id, parameters)
        except GatewayError as error:
            session.addresses = None
            self._pools.give_back(addresses)
            self._iroutes.release(session)
            self._traffic.release(session)
            raise RefusedError("The server cannot take another tunnel now.", "gateway_full") from error
        session.started_at = self._wall_clock()
        session.advance(Phase.OPEN)
        self._pending.remove_login(session)
        self._index.set_gateway_id(session, gateway_id)

    def _take_addresses(self, session: Session, request: TunnelRequest, mtu: int) -> InnerAddresses:
        settings = session.settings
        try:
            return self._pools.take(
                session.user.name,
                want_ipv4=request.wants_ipv4,
                want_ipv6=request.wants_ipv6 and carries_ipv6(mtu),
                static_ipv4=settings.static_ipv4,
                static_ipv6=settings.static_ipv6,
                network=settings.network,
            )
        except NoAddressError as error:
            raise RefusedError(f"No tunnel: {error}.", "no_address") from error

    def _attach_channel(self, admission: Admission, grant: TunnelGrant, head: bytes, early: bytes) -> None:
        """Replace the channel and the expected DTLS of the session. Raises ``GatewayError``."""
        session, peer, request = admission.session, admission.peer, admission.request
        if session.gateway_id is None:
            raise GatewayError(f"session {session.id} has no tunnel to attach to")
        first = session.peer is None
        session.peer, session.connected_at = peer, self._wall_clock()
        self._index.set_expiry(session, None)
        if first:
            session.started_at = session.connected_at
        renamed = grant.hostname != ("" if first else session.hostname)
        session.strap_keys = add_key(session.strap_keys, request.strap.key) if session.strap_keys else ()
        self._index.set_connection(session, peer.connection_id)
        session.hostname = grant.hostname
        session.user_agent = request.user_agent or session.user_agent
        if request.device_id and not session.device.unique_id:
            session.device = replace(session.device, unique_id=request.device_id)
        session.heard_count += 1
        if grant.mtu != session.mtu:
            session.mtu = grant.mtu
            self._gateway.resize(session.gateway_id, grant.mtu)
        if not first and grant.exposed and session.settings.network.restrict_to_routes:
            self._traffic.update(session)
        session.dtls_cipher, session.dtls_address = "", None
        if grant.dtls is not None:
            self._gateway.set_dtls(session.gateway_id, grant.dtls)
        self._gateway.attach(session.gateway_id, peer.connection_id, head, early)
        peer.forget_secrets()
        self._hook_calls.open(session, renamed=renamed)
        view = session.view()
        if first:
            self._recorder.opened(view, draft_resumption(session, view))
            self.statistics.session_opened()
            emit_session_event(self._events, VpnEvent.SESSION_OPENED, session, ipv4=view.ipv4, ipv6=view.ipv6)
        else:
            self._recorder.changed(view, draft_resumption(session, view, changed=True))
            emit_session_event(self._events, VpnEvent.SESSION_ROAMED, session)
