# SPDX-License-Identifier: GPL-3.0-or-later
"""The VPN server on the asyncio loop: starts the gateway, dispatches its events, runs the timers, stops in order.

It reads the clock and passes the time to sessions and protocol, which read none. When ``stop`` returns, every client
has been sent a close message, every session is in the journal, and the device is gone.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from vpn_frontend.connections.pre_tunnel import PreTunnelConnections
from vpn_frontend.former_sessions import FormerSessions
from vpn_frontend.gateway import sockets, tun
from vpn_frontend.gateway.certificates.acme_challenges import AcmeChallenges
from vpn_frontend.gateway.descriptors import max_connections, max_sessions, open_descriptors, worker_count
from vpn_frontend.gateway.fips import restrict_to_fips
from vpn_frontend.gateway.interface import (
    ChannelDown,
    ChannelUp,
    ConnectionClosed,
    ConnectionData,
    ConnectionUp,
    DtlsDown,
    DtlsUp,
    GatewayConfig,
    GatewayEvent,
    Offload,
    OpenGateway,
    ProxyRefused,
    QuotaExceeded,
    SessionAlive,
    SessionClosed,
    SessionIdle,
    SignerDown,
    TlsHost,
    TunDown,
    TunFailing,
)
from vpn_frontend.host_accounts import NO_HOST_ACCOUNTS, Accounts, HostAccounts
from vpn_frontend.hosts import Hosts
from vpn_frontend.ports import AccountingGate, EventSink, SessionHooks, SessionJournal, UserDirectory, VpnEvent
from vpn_frontend.sessions.effective_settings import SettingsResolver
from vpn_frontend.sessions.records.checkpoints import Checkpoints
from vpn_frontend.sessions.records.recorder import SessionRecorder
from vpn_frontend.sessions.table import SessionTable
from vpn_frontend.tls_files import TlsFiles

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sentry_engine import Engine
    from vpn_frontend.auth.method import Method
    from vpn_frontend.gateway.certificates.server_certificate import FileReader, ServerCertificate
    from vpn_frontend.gateway.certificates.signing_keys import SigningProcess
    from vpn_frontend.gateway.descriptors import GatewayDescriptors
    from vpn_frontend.gateway.interface import Gateway
    from vpn_frontend.ports import ClientRoutes, SettingsFiles
    from vpn_frontend.protocol.browser_pages import BrowserPages
    from vpn_frontend.sessions.fleet.entrance import FleetEntrance
    from vpn_frontend.sessions.fleet.port import Fleet
    from vpn_frontend.sessions.live_sessions import LiveSessions
    from vpn_frontend.settings import VpnSettings

SIGNING_DELAY = 2.0  # seconds without an answer that make the server not ready
HANDSHAKE_TIMEOUT = 10.0  # seconds; a phone on a bad network takes 3
EVENTS_PER_RELEASE = 32  # events whose commands the workers get together: few wake-ups, some milliseconds of delay
TICK = 1.0  # seconds between two checks for expired connections and sessions
CLOSE_DEADLINE = 3.0  # seconds at shutdown for clients that do not read their close message
LOGIN_DEADLINE = 3.0  # seconds at shutdown of a node for logins under way: clients know no other address yet
JOURNAL_DEADLINE = 15.0  # seconds at shutdown to write the journal


class VpnServer:
    """Call ``start`` once and ``stop`` once. ``sessions``, ``hosts``, ``acme_challenges`` exist from ``start`` on."""

    sessions: LiveSessions
    hosts: Hosts
    acme_challenges: AcmeChallenges

    def __init__(
        self,
        settings: VpnSettings,
        *,
        engine: Engine,
        users: UserDirectory,
        methods: Mapping[str, Method],
        pages: BrowserPages | None = None,
        journal: SessionJournal,
        events: EventSink,
        open_gateway: OpenGateway | None = None,
        descriptors: GatewayDescriptors | None = None,
        read_file: FileReader | None = None,
        signing: SigningProcess | None = None,
        worker_filter: bytes = b"",
        resolver: SettingsResolver | None = None,
        accounting: AccountingGate | None = None,
        hooks: SessionHooks | None = None,
        settings_files: SettingsFiles | None = None,
        client_routes: ClientRoutes | None = None,
        accounts_file: Path | None = None,
        host_accounts: Mapping[str, HostAccounts] = NO_HOST_ACCOUNTS,
        fleet: Fleet | None = None,
    ) -> None:
        """``methods`` has each method that ``settings.auth`` names, ``pages`` are those of a login in the browser.

        ``open_gateway`` defaults to the native gateway. A process that has given its privileges up passes
        ``descriptors``, which belong to this from ``start`` on, and ``read_file`` for certificate and key. Without them
        both are opened here. ``signing`` has the private keys, if ``descriptors`` lead to it. ``worker_filter`` is a
        seccomp program for the gateway's threads. ``resolver`` knows the groups that are not of the configuration.
        ``accounting`` may refuse new sessions. ``hooks`` are told of sessions. ``settings_files`` are read at a login.
        ``client_routes`` are the kernel's. With an ``accounts_file`` sessions outlive the process.
        ``host_accounts``: of virtual hosts that have users of their own, by name. ``fleet``: this is a node of it.
        """
        self._settings = restrict_to_fips(settings) if settings.fips else settings
        self._engine = engine
        self._pages = pages
        self._journal = journal
        self._events = events
        self._open_gateway = open_gateway
        self._descriptors = descriptors
        self._tls = TlsFiles(self._settings, events, read_file, signing)
        self._worker_filter = worker_filter
        self._resolver = resolver or SettingsResolver(settings)
        self._accounting = accounting
        self._hooks = hooks
        self._accounts = Accounts(HostAccounts(users, methods, settings_files), host_accounts)
        self._client_routes = client_routes
        self._fleet = fleet
        self._former = FormerSessions(
            accounts_file, journal=journal, users=self._users_of, events=events, shared=fleet is not None
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._emptied = asyncio.Event()
        self._signer_lost = False
        self._tun_errors: dict[int, str] = {}  # by worker
        self.tun_lost = asyncio.Event()  # set when the TUN device was deleted: the server has to be started again

    async def start(self) -> None:
        """Serve when this returns. Raises ``ListenError``, ``TunError``, ``CertificateError`` or ``GatewayError``."""
        tls = self._tls.load(self._settings)
        await self._former.read(max_sessions(self._settings))
        self._gateway = await self._make_gateway(tls)
        self.acme_challenges = AcmeChallenges(self._gateway)
        self._tls.use(tls, self._settings)
        self._recorder = SessionRecorder(self._journal, self._events)
        self._table = SessionTable(
            self._settings,
            engine=self._engine,
            gateway=self._gateway,
            recorder=self._recorder,
            events=self._events,
            resolver=self._resolver,
            used_so_far=await self._journal.used_so_far(),
            accounting=self._accounting,
            hooks=self._hooks,
            client_routes=self._client_routes,
            first_number=self._former.next_number,
            fleet=self._fleet,
        )
        if self.entrance is not None:
            self.entrance.find_user = self._former.find_user
            await self.entrance.load_pools()
        await self._former.restore(self._table.restorer, worker_count(self._settings), time.monotonic)
        self._former.commit()
        if self.entrance is not None:
            await self.entrance.reassert()
        self.sessions = self._table.live
        self.hosts = Hosts(
            self._settings,
            self._accounts,
            self._tls,
            engine=self._engine,
            sessions=self._table,
            resolver=self._resolver,
            journal=self._journal,
            events=self._events,
            failures=None if self._fleet is None else self._fleet.failures,
        )
        self._table.changes.on_groups_changed = self.hosts.renew_groups
        self._pre_tunnel = PreTunnelConnections(
            self._settings,
            self.hosts.by_name,
            gateway=self._gateway,
            sessions=self._table,
            events=self._events,
            clock=time.monotonic,
            pages=self._pages,
        )
        if self.entrance is not None:
            self.entrance.wait_until = self._pre_tunnel.changes.wait_until
        asyncio.get_running_loop().add_reader(self._gateway.fileno(), self._on_events)
        self._tasks = [asyncio.create_task(self._recorder.run()), asyncio.create_task(self._run_timers())]

    async def stop(self, text: str, *, suspend: bool = False) -> None:
        """Accept no more. After the drain tell every client ``text`` and end everything, within about 20 seconds.

        ``suspend``: another process follows. Channels close without a word, and sessions are left to that process.
        """
        suspend = suspend and (self._former.memory is not None or self._fleet is not None)
        self._gateway.stop_accepting()
        if not suspend:
            await self._drain()
        await self._pre_tunnel.close(0.0 if self._fleet is None else LOGIN_DEADLINE)
        if not suspend:
            self._table.shut_down(text, time.monotonic())
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_DEADLINE):
                    await self._until_empty()
        if suspend and self._fleet is not None:
            await self.written(CLOSE_DEADLINE)
            self._recorder.checkpoint(self.sessions.list())
            await self.written(CLOSE_DEADLINE)
        asyncio.get_running_loop().remove_reader(self._gateway.fileno())
        if suspend:
            self._on_events()
            count = self._table.restorer.suspend(time.monotonic())
            self._events.emit(VpnEvent.SESSIONS_SUSPENDED, count=count)
        self._gateway.close()
        if not suspend:
            self._table.abandon_gateway(time.monotonic())
        with suppress(TimeoutError):
            async with asyncio.timeout(JOURNAL_DEADLINE):
                await self._recorder.drain()
        self._former.close(suspended=suspend)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def entrance(self) -> FleetEntrance | None:
        """Of a node of a fleet."""
        return self._table.entrance

    async def written(self, seconds: float) -> None:
        """Wait until the journal has what it was told so far, ``seconds`` at most."""
        await self._recorder.written(seconds)

    def reload_certificate(self) -> None:
        """Read certificates and keys again and use them for new handshakes.

        Raises ``CertificateError`` or ``GatewayError``, then the old ones stay.
        """
        tls = self._tls.load(self._settings)
        self._gateway.set_hosts(tls)
        self._tls.use(tls, self._settings)
        self.hosts.renew_portals()

    def load_tls(self, settings: VpnSettings) -> tuple[TlsHost, ...]:
        """The certificates of other settings, for ``renew``. Raises ``CertificateError``."""
        return self._tls.load(settings)

    def renew(self, settings: VpnSettings, accounts: Accounts, tls: tuple[TlsHost, ...]) -> None:
        """Put other hosts, certificates and rules of logins in force for connections to come.

        What ``settings`` say of the gateway (endpoints, device, pools, workers) has no effect. Raises
        ``GatewayError``, then nothing has changed.
        """
        settings = restrict_to_fips(settings) if settings.fips else settings
        self._gateway.set_hosts(tls)
        self._tls.use(tls, settings)
        self._settings, self._accounts = settings, accounts
        self._table.settings = settings
        self.hosts.renew(settings, accounts)
        self._pre_tunnel.renew(settings)

    def _users_of(self, host: str) -> UserDirectory:
        return self._accounts.of(host).users

    def stats(self) -> dict[str, int]:
        """The gateway's counters, and the numbers of connections without a tunnel and of sessions."""
        return {**self._gateway.stats(), "conversations": len(self._pre_tunnel), "sessions": len(self._table)}

    def worker_turns(self) -> tuple[int, ...]:
        """As ``Gateway.turns``."""
        return self._gateway.turns()

    async def _drain(self) -> None:
        """Leave the sessions alone for a while, and stay for load balancers with none left."""
        least = asyncio.create_task(asyncio.sleep(self._settings.drain_at_least))
        if self._settings.drain:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.drain):
                    await self._until_empty()
        await least

    async def _until_empty(self) -> None:
        while len(self._table):
            self._emptied.clear()
            await self._emptied.wait()

    def refresh_short_lived(self) -> bool:
        """Read authorities of clients, revocation lists and OCSP responses again, and use them if they changed.

        Returns whether they did. Raises ``CertificateError`` or ``GatewayError``, then the old ones stay.
        """
        tls = self._tls.refresh()
        if tls == self._tls.hosts:
            return False
        self._gateway.set_hosts(tls)
        self._tls.use(tls)
        self.hosts.renew_portals()
        return True

    async def _make_gateway(self, hosts: tuple[TlsHost, ...]) -> Gateway:
        settings = self._settings
        given = self._descriptors or open_descriptors(settings, tun.tun_device(settings))
        if given.shortage is not None:
            self._events.emit(VpnEvent.BACKEND_FAILED, what="file descriptors", error=given.shortage)
        try:
            listeners = (descriptor for row in given.listeners for descriptor in row)
            sockets.start_listening(listeners, settings.output_buffer)
        except BaseException:
            given.close()
            raise
        return self._opener()(
            GatewayConfig(
                listeners=given.listeners,
                tuns=given.tuns,
                signers=given.signers,
                hosts=hosts,
                ciphers=settings.ciphers,
                fips=settings.fips,
                proxies=settings.proxy_from,
                gate=self._engine.gate_address,
                worker_filter=self._worker_filter,
                max_connections=max_connections(settings),
                max_sessions=max_sessions(settings),
                accounts=self._former.memory,
                handshake_timeout=HANDSHAKE_TIMEOUT,
                conversation_timeout=float(settings.auth.timeout),
                udp=given.datagrams,
                ipv4_pool=settings.network.ipv4_pool,
                offloads=reduce(or_, (Offload[name.upper()] for name in settings.offloads), Offload.NONE),
            )
        )

    def _opener(self) -> OpenGateway:
        if self._open_gateway is not None:
            return self._open_gateway
        from vpn_frontend.gateway.native_gateway import open_gateway  # noqa: PLC0415 - load the C core only to serve

        return open_gateway

    def _on_events(self) -> None:
        self._gateway.hold()
        try:
            for number, event in enumerate(self._gateway.events(), start=1):
                self._handle_guarded(event)
                if number % EVENTS_PER_RELEASE == 0:
                    self._gateway.release()
                    self._gateway.hold()
        finally:
            self._gateway.release()

    def _handle_guarded(self, event: GatewayEvent) -> None:
        try:
            self._handle(event, time.monotonic())
        except Exception as error:  # noqa: BLE001 - a fault in one event must not lose the others
            self._events.emit(VpnEvent.BACKEND_FAILED, what=type(event).__name__, error=repr(error))

    def _handle(self, event: GatewayEvent, now: float) -> None:
        match event:
            case ConnectionData():
                self._pre_tunnel.connection_data(event)
            case ConnectionUp():
                self._pre_tunnel.connection_up(event)
            case ConnectionClosed():
                self._pre_tunnel.connection_closed(event)
                self._table.reports.connection_closed(event.connection_id, event.cause, now)
                self._pre_tunnel.changes.notify()
            case ChannelDown():
                self._table.reports.channel_down(event, now)
                self._pre_tunnel.changes.notify()
            case SessionClosed():
                self._table.reports.session_closed(event, now)
                self._pre_tunnel.changes.notify()
                self._emptied.set()
            case ChannelUp():
                self._pre_tunnel.changes.notify()  # the table has known since it attached the connection
            case SessionIdle():
                self._table.reports.session_idle(event.session, now)
            case DtlsUp():
                self._table.reports.dtls_up(event)
            case DtlsDown():
                self._table.reports.dtls_down(event)
            case SessionAlive():
                self._table.reports.session_alive(event.session)
                self._pre_tunnel.changes.notify()
            case ProxyRefused(proxy, problem):
                self._events.emit(VpnEvent.LINK_REFUSED, address=proxy, reason=f"PROXY header: {problem}")
            case QuotaExceeded():
                self._table.changes.quota_exceeded(event.session, now)
            case TunDown():
                self._handle_tun_down()
            case TunFailing(worker, error):
                self._handle_tun_failing(worker, error)
            case SignerDown():
                self._handle_signer_down()

    def _handle_tun_down(self) -> None:
        """Takes no new clients into a tunnel that leads nowhere. Each worker reports it; the first report counts."""
        if self.tun_lost.is_set():
            return
        self._events.emit(VpnEvent.TUN_LOST, device=self._settings.network.device)
        self._gateway.stop_accepting()
        self.tun_lost.set()

    def _handle_tun_failing(self, worker: int, error: int) -> None:
        if error:
            self._tun_errors[worker] = os.strerror(error)
        else:
            self._tun_errors.pop(worker, None)
        device, text = self._settings.network.device, self._tun_errors.get(worker, "")
        self._events.emit(VpnEvent.TUN_FAILING, device=device, worker=worker, error=text)

    def find_tun_problem(self) -> str | None:
        """Why packets for clients do not arrive. ``None``: the TUN device works, or was deleted (``tun_lost``)."""
        error = next(iter(self._tun_errors.values()), None)
        return None if error is None else f"the TUN device {self._settings.network.device} cannot be read: {error}"

    def _handle_signer_down(self) -> None:
        """Tunnels go on. Each worker reports it; the first report counts."""
        if not self._signer_lost:
            self._signer_lost = True
            self._events.emit(VpnEvent.SIGNER_LOST)

    def find_signing_problem(self) -> str | None:
        """Why TLS handshakes fail or wait. ``None``: they get their signatures."""
        if self._signer_lost:
            return "it is gone; no new client can connect until the server is restarted"
        delay = self._gateway.signing_delay()
        return f"it has not answered for {delay:.0f} s; no new client can connect" if delay > SIGNING_DELAY else None

    def certificates(self) -> tuple[ServerCertificate, ...]:
        """Those in use, the server's own first."""
        return tuple(certificate for host in self._tls.hosts for certificate in host.certificates)

    async def _run_timers(self) -> None:
        checkpoints = Checkpoints(self.sessions, self._recorder, time.monotonic())
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            try:
                self._former.beat()
                self._pre_tunnel.expire(now)
                self._table.expire(now)
                self.acme_challenges.expire(now)
                checkpoints.write_due(now)
            except Exception as error:  # noqa: BLE001 - without timers no session would ever expire
                self._events.emit(VpnEvent.BACKEND_FAILED, what="timers", error=repr(error))
