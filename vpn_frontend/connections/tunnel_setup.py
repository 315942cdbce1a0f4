# SPDX-License-Identifier: GPL-3.0-or-later
"""From CONNECT to an open tunnel.

The steps are: find the user, admit, wait for the liveness probe, wait for evicted sessions, open. A step that does not
have to wait runs at once, so a login of a known user needs no task. Otherwise the rest runs as the connection's task,
which ends with its connection.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from sentry_engine.records import dataclass
from vpn_frontend.auth.result import Refused, Unavailable
from vpn_frontend.http_headers import add_headers, name_session
from vpn_frontend.ports import VpnEvent
from vpn_frontend.protocol.connect_response import render_connect_headers, render_connect_lines
from vpn_frontend.protocol.dtls_negotiation import render_dtls_headers
from vpn_frontend.sessions.admission import CookieError, RefusedError
from vpn_frontend.sessions.fleet.entrance import MOVED
from vpn_frontend.sessions.liveness_probe import PROBE_TIMEOUT, ProbePendingError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from vpn_frontend.connections.pending_connection import PendingConnection
    from vpn_frontend.connections.session_changes import SessionChanges
    from vpn_frontend.ports import EventSink, UserRecord
    from vpn_frontend.protocol.connect_response import Headers, TunnelGrant
    from vpn_frontend.protocol.connection import Effect, OpenTunnel
    from vpn_frontend.sessions.admission import Admission
    from vpn_frontend.sessions.fleet.entrance import FleetEntrance
    from vpn_frontend.sessions.liveness_probe import LivenessProbe
    from vpn_frontend.sessions.session import Session
    from vpn_frontend.sessions.table import SessionTable
    from vpn_frontend.settings import VpnSettings

RECENT_LOGIN = (
    10.0  # seconds for which a user of an outside server is not looked up again, as the directory caches users
)
FLEET_HEADERS = (("X-CSTP-DynDNS", "true"),)  # without it openconnect reconnects to its cached address alone
EVICTION_DEADLINE = 3.0  # seconds that evicted sessions have to give up their addresses


class ConnectionOwner(Protocol):
    """What tunnel set-up needs from the owner of its connection."""

    def carry_out(self, connection: PendingConnection, effects: list[Effect]) -> None:
        """Send an answer, close the connection."""

    def run(self, connection: PendingConnection, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Make ``work`` the connection's task. It is cancelled when the connection closes."""

    def hand_over(self, connection: PendingConnection) -> None:
        """Forget the connection. Ownership passes to the gateway."""


@dataclass(frozen=True, slots=True)
class TunnelServices:
    """What every tunnel set-up of a server shares. ``clock`` is monotonic."""

    settings: VpnSettings
    sessions: SessionTable
    events: EventSink
    changes: SessionChanges
    clock: Callable[[], float]


class TunnelSetup:
    """One CONNECT. A refusal is answered on the connection."""

    def __init__(
        self, services: TunnelServices, owner: ConnectionOwner, connection: PendingConnection, connect: OpenTunnel
    ) -> None:
        self._services = services
        self._owner = owner
        self._connection = connection
        self._connect = connect
        self._session: Session | None = None
        self._claimed = False

    def start(self) -> None:
        now, sessions = self._services.clock(), self._services.sessions
        try:
            self._session = session = sessions.find_returning(self._connect.cookie, now, self._connection.host.name)
        except CookieError as refusal:
            if sessions.entrance is None or refusal.reason == "another_host":
                self._refuse(refusal)
            else:
                self._owner.run(self._connection, self._claim(sessions.entrance))
            return
        try:
            user = self._connection.host.authenticator.recall(session.user)
            if user is None and session.user.external and now - session.login_at < RECENT_LOGIN:
                user = session.user
            if user is None:
                self._owner.run(self._connection, self._find_user(session))
            else:
                self._admit(session, user)
        except (CookieError, RefusedError) as refusal:
            self._refuse(refusal)

    async def _claim(self, entrance: FleetEntrance) -> None:
        """The cookie may be of a session that another node of the fleet has, or of a login that it has taken."""
        services, host, cookie = self._services, self._connection.host, self._connect.cookie
        self._claimed = True
        try:
            found = await entrance.claim(cookie, self._connection.peer, host.name, services.clock())
            if isinstance(found, tuple):
                claim, saved = found
                present = await entrance.find_claimed(claim, saved)
                restorer = services.sessions.restorer
                session = entrance.restore(claim, saved, present, restorer, services.clock())
            else:
                session = found
            self._session = session
            user = await host.authenticator.find(session.user)
            self._admit(session, user)
        except (CookieError, RefusedError) as refusal:
            self._refuse(refusal)

    async def _find_user(self, session: Session) -> None:
        user = await self._connection.host.authenticator.find(session.user)
        try:
            self._admit(session, user)
        except (CookieError, RefusedError) as refusal:
            self._refuse(refusal)

    def _admit(
        self, session: Session, user: UserRecord | Refused | Unavailable, probe: LivenessProbe | None = None
    ) -> None:
        if isinstance(user, Refused | Unavailable):
            raise RefusedError(user.text, user.reason if isinstance(user, Refused) else "unavailable")
        services, connection = self._services, self._connection
        try:
            admission = services.sessions.begin_tunnel(
                session, user, connection.peer, self._connect.request, services.clock(), probe
            )
        except ProbePendingError as pending:
            self._owner.run(connection, self._wait_for_probe(session, user, pending.probe))
            return
        if admission.has_room:
            self._open(admission)
            return
        task = self._owner.run(connection, self._wait_for_room(admission))
        # Not in the coroutine: a task cancelled before its first step runs none of its code.
        task.add_done_callback(lambda _: services.sessions.abandon_tunnel(admission))

    async def _wait_for_probe(self, session: Session, user: UserRecord, probe: LivenessProbe) -> None:
        """Ask again when the probed sessions have answered or their time is over."""
        services = self._services
        await services.changes.wait_until(lambda: probe.is_decided(services.clock()), PROBE_TIMEOUT)
        try:
            self._admit(session, user, probe)
        except (CookieError, RefusedError) as refusal:
            self._refuse(refusal)

    async def _wait_for_room(self, admission: Admission) -> None:
        """The addresses of the evicted sessions may be the ones wanted."""
        await self._services.changes.wait_until(lambda: admission.has_room, EVICTION_DEADLINE)
        try:
            self._open(admission)
        except (CookieError, RefusedError) as refusal:
            self._refuse(refusal)

    def _open(self, admission: Admission) -> None:
        sessions, now = self._services.sessions, self._services.clock()
        if admission.enters_fleet and sessions.entrance is not None:
            task = self._owner.run(self._connection, self._open_in_fleet(admission, sessions.entrance))
            task.add_done_callback(lambda task: self._end_opening(admission, cancelled=task.cancelled()))
            return
        if admission.asks_hook:
            grant = sessions.grant_tunnel(admission, now)
            task = self._owner.run(self._connection, self._open_after_hook(admission, grant))
            task.add_done_callback(lambda task: self._end_opening(admission, cancelled=task.cancelled()))
            return
        sessions.open_tunnel(admission, partial(self._respond, admission.session), now)

    async def _open_in_fleet(self, admission: Admission, entrance: FleetEntrance) -> None:
        services, sessions = self._services, self._services.sessions
        try:
            await entrance.admit(admission, services.clock())
            try:
                grant = sessions.grant_tunnel(admission, services.clock())
            except BaseException:
                entrance.withdraw(admission.session)
                raise
            if admission.asks_hook:
                await sessions.ask_connect_hook(admission)
            sessions.attach_tunnel(admission, grant, partial(self._respond, admission.session), services.clock())
        except (CookieError, RefusedError) as refusal:
            if isinstance(refusal, CookieError) and refusal.reason == MOVED and not self._claimed:
                entrance.let_go(admission.session)  # its client was at another node meanwhile
                await self._claim(entrance)
            else:
                self._refuse(refusal)

    def _end_opening(self, admission: Admission, *, cancelled: bool) -> None:
        """Not in the coroutine: a task cancelled before its first step runs none of its code."""
        sessions, session = self._services.sessions, admission.session
        sessions.abandon_tunnel(admission)
        if cancelled and session.gateway_id is not None and session.peer is None:
            sessions.give_up(session)

    async def _open_after_hook(self, admission: Admission, grant: TunnelGrant) -> None:
        sessions = self._services.sessions
        try:
            await sessions.ask_connect_hook(admission)
            sessions.attach_tunnel(admission, grant, partial(self._respond, admission.session), self._services.clock())
        except (CookieError, RefusedError) as refusal:
            self._refuse(refusal)

    def _respond(self, session: Session, grant: TunnelGrant) -> tuple[bytes, bytes]:
        """The head of the answer, and the bytes that followed the request. The gateway owns the connection after it."""
        server, peer, settings = self._services.settings, self._connection.peer, session.settings
        user, group = session.user.name, session.groups[0] if session.groups else ""
        network = settings.network
        if "%{" in network.proxy_pac_url:
            network = replace(network, proxy_pac_url=name_session(network.proxy_pac_url, user, group))
        request, session_settings = self._connect.request, settings.session
        outer_ipv6, tls13 = peer.address.version == 6, peer.tls_version == "TLSv1.3"
        headers: Headers = ()
        if grant.dtls is not None:
            port = server.dtls_listen[0].port if server.dtls_listen else peer.local_port
            headers = render_dtls_headers(grant.dtls, session_settings, port=port, dpd=grant.dpd, mtu=grant.mtu)
        if self._services.sessions.entrance is not None:
            headers += FLEET_HEADERS
        if server.extra_headers:
            more = tuple(replace(one, value=name_session(one.value, user, group)) for one in server.extra_headers)
            own = render_connect_headers(grant, request, network, session_settings, outer_ipv6=outer_ipv6, tls13=tls13)
            head_and_rest = self._connection.protocol.tunnel_granted(tuple(add_headers(own + headers, more)))
        else:
            lines = render_connect_lines(grant, request, network, session_settings, outer_ipv6=outer_ipv6, tls13=tls13)
            head_and_rest = self._connection.protocol.tunnel_granted(headers, lines)
        self._owner.hand_over(self._connection)
        return head_and_rest

    def _refuse(self, refusal: CookieError | RefusedError) -> None:
        """Answer a step that was refused."""
        protocol = self._connection.protocol
        if isinstance(refusal, CookieError):
            self._report("", refusal.reason)
            effects = protocol.tunnel_refused()
        else:
            self._report("" if self._session is None else self._session.user.name, refusal.reason)
            effects = protocol.unavailable(refusal.text, refusal.retry_after)
        self._owner.carry_out(self._connection, effects)

    def _report(self, user: str, reason: str) -> None:
        address = self._connection.peer.address
        self._services.events.emit(VpnEvent.TUNNEL_REFUSED, user=user, address=address, reason=reason)
