# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS connections that have no tunnel yet: carries out what their protocol asks for.

A task exists only while a question of the protocol has to wait (for a directory, a password hash, evicted sessions). A
connection has one task at most, and the task is cancelled when its connection closes. Everything else is done at once,
while an event of the gateway is handled.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.password.source_standing import source_key
from vpn_frontend.auth.result import (
    Accepted,
    Challenge,
    FirstForm,
    Negotiate,
    Outcome,
    Pending,
    Refused,
    Unavailable,
)
from vpn_frontend.connections.pending_connection import PendingConnection
from vpn_frontend.connections.per_source import PerSourceTable
from vpn_frontend.connections.portal import offer_certificate_groups
from vpn_frontend.connections.session_changes import SessionChanges
from vpn_frontend.connections.tunnel_setup import TunnelServices, TunnelSetup
from vpn_frontend.gateway.certificates.client_authorities import is_listed
from vpn_frontend.gateway.interface import Cause
from vpn_frontend.ports import EventSink, VpnEvent
from vpn_frontend.protocol.connection import (
    CheckLogin,
    Close,
    Connection,
    Effect,
    EndSession,
    FetchProfile,
    OpenTunnel,
    Send,
    ShowPage,
)
from vpn_frontend.sessions.admission import Login, RefusedError
from vpn_frontend.sessions.session import Peer
from vpn_frontend.sessions.table import SessionTable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from vpn_frontend.connections.host import Host
    from vpn_frontend.gateway.interface import ConnectionClosed, ConnectionData, ConnectionUp, Gateway
    from vpn_frontend.protocol.browser_pages import BrowserPages
    from vpn_frontend.protocol.http_fast_path import HttpRequest
    from vpn_frontend.settings import VpnSettings

REQUEST_DEADLINE = 30.0  # seconds from the first byte of a request to its last
CLIENT_PAUSE = 0.5  # seconds in which a program goes on with its login, once it was answered
LOOK_INTERVAL = 0.02  # seconds between two looks at the logins of a server that stops


class PreTunnelConnections:
    """All connections without a tunnel. ``hosts`` by name, the server itself as ``""``. ``clock`` is monotonic.

    ``changes`` is to be notified of session changes.
    """

    def __init__(
        self,
        settings: VpnSettings,
        hosts: Mapping[str, Host],
        *,
        gateway: Gateway,
        sessions: SessionTable,
        events: EventSink,
        clock: Callable[[], float],
        pages: BrowserPages | None = None,
    ) -> None:
        self._pages = pages
        self._settings = settings
        self._hosts = hosts
        self._gateway = gateway
        self._sessions = sessions
        self._events = events
        self._clock = clock
        self.changes = SessionChanges()
        self._connections: PerSourceTable[PendingConnection] = PerSourceTable()
        self._tunnel_services = TunnelServices(settings, sessions, events, self.changes, clock)

    def __len__(self) -> int:
        return len(self._connections)

    def connection_up(self, event: ConnectionUp) -> None:
        peer = Peer(
            event.connection_id,
            event.peer,
            event.peer_port,
            event.tls_version,
            event.cipher,
            event.local_port,
            event.exporter_key,
            # Without an extension that clients may leave out (RFC 7627), TLS 1.2 exports the same to two peers.
            event.proof_key if event.tls_version == "TLSv1.3" else b"",
            event.peer_certificate,
            event.local_address,
            event.host,
            event.bindings,
        )
        host = self._hosts.get(event.host)
        if host is None:  # since TLS began
            self._events.emit(VpnEvent.LINK_REFUSED, address=event.peer, reason="its host was removed")
            self._gateway.close_connection(event.connection_id)
            return
        if event.peer_certificate and host.revoked and is_listed(event.peer_certificate, host.revoked):
            self._events.emit(VpnEvent.LINK_REFUSED, address=event.peer, reason="the client certificate is revoked")
            self._gateway.close_connection(event.connection_id)
            return
        portal = host.portal
        if event.peer_certificate and portal.groups and host.certificate_fields is not None:
            portal = offer_certificate_groups(portal, event.peer_certificate, host.certificate_fields)
        now = self._clock()
        self._connections.add_connection(
            PendingConnection(peer, Connection(portal, source_key(event.peer)), host, now, now)
        )

    def renew(self, settings: VpnSettings) -> None:
        """``settings`` hold for requests to come."""
        self._settings = settings
        self._tunnel_services = replace(self._tunnel_services, settings=settings)

    def connection_data(self, event: ConnectionData) -> None:
        connection = self._connections.find_connection(event.connection_id)
        if connection is None:
            return
        connection.heard_at = now = self._clock()
        if connection.request_since is None:
            connection.request_since = now
        effects = connection.protocol.receive(event.data, now)
        if effects:
            connection.request_since = None
        try:
            self.carry_out(connection, effects)
        except Exception as error:  # noqa: BLE001 - whatever answers the questions of the protocol
            self._fail(connection, error)

    def connection_closed(self, event: ConnectionClosed) -> None:
        if event.cause is Cause.EVICTED:
            self._events.emit(VpnEvent.LINK_REFUSED, address=event.peer, reason="too many connections of one address")
        connection = self._connections.remove_connection(event.connection_id)
        if connection is None:
            return
        connection.protocol.closed()
        if connection.task is not None:
            connection.task.cancel()

    def expire(self, now: float) -> None:
        """Close connections that send a request too slowly, or have talked for longer than any login takes."""
        for connection in self._connections:
            slow = connection.request_since is not None and now - connection.request_since >= REQUEST_DEADLINE
            old = now - connection.since >= 2 * self._settings.auth.timeout and connection.task is None
            if slow or old:
                self._close(connection, "too slow" if slow else "too old")

    async def close(self, patience: float = 0.0) -> None:
        """Cancel all tasks and forget every connection. The gateway closes the connections.

        Logins that are under way have ``patience`` seconds to become tunnels.
        """
        until = self._clock() + patience
        while any(self._is_busy(connection) for connection in self._connections):
            if self._clock() >= until:
                break
            await asyncio.sleep(LOOK_INTERVAL)
        connections = [*self._connections]
        tasks = [connection.task for connection in connections if connection.task is not None]
        for connection in connections:
            self._connections.remove_connection(connection.peer.connection_id)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _is_busy(self, connection: PendingConnection) -> bool:
        """A question is being answered, or the client has had no time to go on."""
        return connection.task is not None or self._clock() - connection.heard_at < CLIENT_PAUSE

    def carry_out(self, connection: PendingConnection, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(data):
                    self._gateway.send(connection.peer.connection_id, data)
                case Close(reason):
                    self._close(connection, reason)
                case CheckLogin():
                    self._check_login(connection, effect)
                case OpenTunnel():
                    TunnelSetup(self._tunnel_services, self, connection, effect).start()
                case ShowPage(request):
                    self.run(connection, self._show_page(connection, request))
                case FetchProfile(cookie):
                    profile = self._sessions.find_profile(cookie, connection.host.name)
                    self.carry_out(connection, connection.protocol.profile_found(profile))
                case EndSession(cookie):
                    self._sessions.log_out(cookie, self._clock(), connection.host.name)

    def run(self, connection: PendingConnection, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Make ``work`` the connection's task. It is cancelled when the connection closes."""
        connection.task = task = asyncio.create_task(work)
        task.add_done_callback(lambda task: self._finish(connection, task))
        return task

    def hand_over(self, connection: PendingConnection) -> None:
        """Forget the connection. Ownership passes to the gateway."""
        self._connections.remove_connection(connection.peer.connection_id)

    def _close(self, connection: PendingConnection, reason: str) -> None:
        """Close after all data sent so far is out. Further data of the peer is ignored."""
        if self._connections.remove_connection(connection.peer.connection_id) is None:
            return
        connection.protocol.closed()
        if connection.task is not None and connection.task is not asyncio.current_task():
            connection.task.cancel()
        if reason:
            self._events.emit(VpnEvent.LINK_REFUSED, address=connection.peer.address, reason=reason)
        self._gateway.close_connection(connection.peer.connection_id)

    def _finish(self, connection: PendingConnection, task: asyncio.Task[None]) -> None:
        if connection.task is task:
            connection.task = None
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, Exception):
            self._fail(connection, error)

    def _fail(self, connection: PendingConnection, error: Exception) -> None:
        """Close a connection after an internal error, without a response. Other connections are not affected."""
        self._events.emit(VpnEvent.BACKEND_FAILED, what="conversation", error=repr(error))
        self._close(connection, "internal error")

    def _check_login(self, connection: PendingConnection, check: CheckLogin) -> None:
        """Ask the authenticator. Without a task if it answers at once."""
        peer, message, authenticator = connection.peer, check.message, connection.host.authenticator
        if check.state is None:
            outcome = authenticator.begin(
                LoginRequest(
                    message.username or "",
                    message.password or "",
                    check.group,
                    peer.address,
                    check.user_agent,
                    message.fields,
                    peer.peer_certificate,
                    submitted=check.submitted,
                    offer=check.offer,
                    context=check.context,
                    device_id=message.device.unique_id,
                )
            )
        else:
            outcome = authenticator.answer(
                check.state, message.fields, address=peer.address, peer_certificate=peer.peer_certificate
            )
        if isinstance(outcome, Pending):
            connection.checking = True
            self.run(connection, self._wait_for_outcome(connection, check, outcome))
        else:
            self._answer_login(connection, check, outcome)

    async def _wait_for_outcome(self, connection: PendingConnection, check: CheckLogin, pending: Pending) -> None:
        self._answer_login(connection, check, await pending.wait())

    def _answer_login(self, connection: PendingConnection, check: CheckLogin, outcome: Outcome) -> None:
        now, protocol = self._clock(), connection.protocol
        connection.checking = False
        match outcome:
            case Accepted(user, groups, remote, token):
                digest = connection.peer.certificate_digest
                login = Login(
                    user,
                    groups,
                    check.message.device,
                    check.user_agent,
                    remote,
                    digest,
                    connection.peer.address,
                    connection.host.name,
                    strap_key=check.strap_key,
                )
                effects = self._log_in(connection, login, now, token)
            case Refused(text, _, final, retry, source_refused, _):
                again = None if retry is None else (retry.form, retry.state)
                effects = protocol.login_refused(text, now, final=final, retry=again)
                self._sessions.statistics.login_refused()
                if source_refused:
                    self._refuse_others(connection, text, now)
            case Challenge(form, state, token):
                effects = protocol.login_challenged(form, state, now, negotiate=token)
            case Negotiate(token, state):
                effects = protocol.login_negotiated(token, state, now)
            case FirstForm(request_certificate, refusal, form):
                if refusal is not None:
                    self._sessions.statistics.login_refused()
                error = "" if refusal is None else refusal.text
                effects = protocol.login_to_begin(form, request_certificate=request_certificate, error=error)
            case Unavailable(text, retry_after):
                effects = protocol.unavailable(text, retry_after)
        self.carry_out(connection, effects)

    async def _show_page(self, connection: PendingConnection, request: HttpRequest) -> None:
        if self._pages is None:
            raise TypeError("a page without a method that has pages")
        self.carry_out(connection, connection.protocol.page_shown(await self._pages.show(request)))

    def _refuse_others(self, connection: PendingConnection, text: str, now: float) -> None:
        """Close what else the source has without a tunnel, its logins with ``text``. A CONNECT under way goes on.

        A connection that has sent nothing is not known here. The policy refuses it at its login.
        """
        for other in self._connections.of_source(connection.peer.address):
            if other is connection or (other.task is not None and not other.checking):
                continue
            if other.checking:
                self.carry_out(other, other.protocol.login_refused(text, now, final=True))
            self._close(other, "the policy refuses its address")

    def _log_in(self, connection: PendingConnection, login: Login, now: float, token: bytes) -> list[Effect]:
        try:
            cookie = self._sessions.log_in(login, now)
            self._sessions.statistics.login_accepted(now - connection.since)
            settings = self._sessions.find_session(cookie, login.host).settings
            return connection.protocol.login_granted(cookie, settings.banner, settings.profile, negotiate=token)
        except RefusedError as refused:
            return connection.protocol.unavailable(refused.text, refused.retry_after)
