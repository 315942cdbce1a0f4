# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway without sockets. Methods play the peers, attributes show what peers would see.

It keeps the contract of the native one. Ids are not reused. Commands for objects that are gone are ignored. Events come
in order, after the command that caused them has returned.
"""

from __future__ import annotations

import os
from collections import defaultdict, deque
from dataclasses import field, replace
from ipaddress import ip_address
from itertools import count
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.gateway.interface import (
    Cause,
    ChannelDown,
    ChannelUp,
    ConnectionClosed,
    ConnectionData,
    ConnectionUp,
    Counters,
    DtlsDown,
    DtlsOffer,
    DtlsUp,
    GatewayConfig,
    GatewayError,
    GatewayEvent,
    QuotaExceeded,
    SessionAlive,
    SessionClosed,
    SessionIdle,
    SignerDown,
    TlsHost,
    TunFailing,
    TunnelParameters,
)
from vpn_frontend.gateway.limits import NO_LIMITS, TunnelLimits

if TYPE_CHECKING:
    from vpn_frontend.settings import Address


@dataclass(slots=True, eq=False)
class MemoryBudget:
    """A budget that limits nothing: it keeps what it was told."""

    from_client: int = 0
    to_client: int = 0
    left: int | None = None

    def set_rates(self, from_client: int, to_client: int) -> None:
        self.from_client, self.to_client = from_client, to_client

    def set_quota(self, left: int | None) -> None:
        self.left = left

    def quota_left(self) -> int | None:
        return self.left


@dataclass(slots=True)
class MemorySession:
    parameters: TunnelParameters
    connection_id: int | None = None  # its channel
    early: bytes = b""
    mtu: int = 0
    dtls: DtlsOffer | None = None  # expected with the channel that it has
    dtls_next: DtlsOffer | None = None
    asked: bool = False
    counters: Counters = field(default_factory=Counters)
    limits: TunnelLimits = NO_LIMITS


class MemoryGateway:
    """Also an ``OpenGateway``: calling it returns itself."""

    def __init__(self, *, max_sessions: int = 1 << 30) -> None:
        self.sent: defaultdict[int, bytearray] = defaultdict(bytearray)  # by connection
        self.close_frames: dict[int, bytes] = {}  # by session: the last frame of those that were closed
        self.sessions: dict[int, MemorySession] = {}
        self.connections: set[int] = set()
        self._peers: dict[int, Address] = {}
        self.accepting = True
        self.held = False
        self.delay = 0.0  # seconds that a signature is awaited
        self.hosts: tuple[TlsHost, ...] = ()
        self._max_sessions = max_sessions
        self._received = self._delivered = 0  # bytes, from and to all clients
        self._queue: deque[GatewayEvent] = deque()
        self._ids = count(1)
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def __call__(self, config: GatewayConfig) -> MemoryGateway:
        self.hosts = config.hosts
        return self

    # What peers do

    def connect(
        self, address: str = "192.0.2.1", port: int = 40_000, tls_version: str = "TLSv1.3", host: str = ""
    ) -> int:
        connection_id = next(self._ids)
        self.connections.add(connection_id)
        self._peers[connection_id] = peer = ip_address(address)
        self._tell(
            ConnectionUp(
                connection_id,
                peer,
                port,
                443,
                tls_version,
                "TLS13-AES256-GCM-SHA384",
                host,
                False,
                bytes(32),
                bytes(32),
                host=host,
            )
        )
        return connection_id

    def say(self, connection_id: int, data: bytes) -> None:
        if connection_id in self.connections:
            self._tell(ConnectionData(connection_id, data))

    def move_data(self, session: int, *, received: int = 0, sent: int = 0) -> None:
        """Count packets of one byte each."""
        known = self.sessions[session]
        old = known.counters
        self._received += received
        self._delivered += sent
        known.counters = replace(
            old,
            rx_packets=old.rx_packets + received,
            rx_bytes=old.rx_bytes + received,
            tx_packets=old.tx_packets + sent,
            tx_bytes=old.tx_bytes + sent,
        )

    def hang_up(self, connection_id: int, cause: Cause = Cause.PEER_CLOSED, close_message: bytes = b"") -> None:
        """The peer closes or loses a connection, with or without a session on it."""
        if connection_id not in self.connections:
            return
        self.connections.discard(connection_id)
        for number, session in self.sessions.items():
            if session.connection_id == connection_id:
                session.connection_id = None
                self._tell(ChannelDown(number, connection_id, cause, close_message, session.counters))
                return
        peer = self._peers[connection_id] if cause is Cause.EVICTED else None
        self._tell(ConnectionClosed(connection_id, cause, peer))

    def send_datagrams(
        self, session: int, cipher: str = "ECDHE-RSA-AES256-GCM-SHA384", address: str = "192.0.2.1"
    ) -> None:
        """The client completes a DTLS handshake."""
        if self.sessions[session].dtls is not None:
            self._tell(DtlsUp(session, ip_address(address), 50_000, "DTLSv1.2", cipher))

    def lose_datagrams(self, session: int) -> None:
        self._tell(DtlsDown(session, Cause.DPD))

    def fall_idle(self, session: int) -> None:
        self._tell(SessionIdle(session))

    def fail_reads(self, worker: int, error: int) -> None:
        """Reads of the TUN device fail with an errno, or work again: 0."""
        self._tell(TunFailing(worker, error))

    def lose_signer(self) -> None:
        self._tell(SignerDown())

    def exceed_quota(self, session: int) -> None:
        self._tell(QuotaExceeded(session))

    def answer(self, session: int) -> None:
        """The client answers a probe, if there was one."""
        known = self.sessions[session]
        if known.asked:
            known.asked = False
            self._tell(SessionAlive(session))

    # The port

    def send(self, connection_id: int, data: bytes) -> None:
        if connection_id in self.connections:
            self.sent[connection_id] += data

    def close_connection(self, connection_id: int) -> None:
        self.hang_up(connection_id, Cause.LOCAL)

    def open_session(self, connection_id: int, parameters: TunnelParameters) -> int:
        if connection_id and connection_id not in self.connections:  # 0 is its only worker
            raise GatewayError(f"connection {connection_id} is gone")
        if len(self.sessions) >= self._max_sessions:
            raise GatewayError(f"{self._max_sessions} sessions are the most")
        number = next(self._ids)
        self.sessions[number] = MemorySession(
            parameters, mtu=parameters.mtu, limits=parameters.limits, counters=parameters.counters
        )
        return number

    def new_budget(self) -> MemoryBudget:
        return MemoryBudget()

    def limit(self, session: int, limits: TunnelLimits) -> None:
        if session in self.sessions:
            self.sessions[session].limits = limits

    def set_dtls(self, session: int, offer: DtlsOffer) -> None:
        if session in self.sessions:
            self.sessions[session].dtls_next = offer

    def attach(self, session: int, connection_id: int, head: bytes, early: bytes) -> None:
        known = self.sessions.get(session)
        if known is None or connection_id not in self.connections:
            return
        if known.connection_id is not None:
            self.connections.discard(known.connection_id)
        known.connection_id, known.early = connection_id, early
        known.dtls, known.dtls_next = known.dtls_next, None
        self.sent[connection_id] += head
        self._tell(ChannelUp(session, connection_id))

    def close_session(self, session: int, frame: bytes) -> None:
        known = self.sessions.pop(session, None)
        if known is None:
            return
        self.close_frames[session] = frame
        if known.connection_id is not None:
            self.connections.discard(known.connection_id)
            self.sent[known.connection_id] += frame
        self._tell(SessionClosed(session, known.counters))

    def resize(self, session: int, mtu: int) -> None:
        if session in self.sessions:
            self.sessions[session].mtu = mtu

    def ask(self, session: int) -> None:
        if session in self.sessions:
            self.sessions[session].asked = True

    def counters(self, session: int) -> Counters:
        if session not in self.sessions:
            raise GatewayError(f"session {session} is gone")
        return self.sessions[session].counters

    def traffic(self, session: int) -> tuple[int, int]:
        counters = self.counters(session)
        return counters.rx_bytes, counters.tx_bytes

    def total_traffic(self) -> tuple[int, int]:
        return self._received, self._delivered

    def stats(self) -> dict[str, int]:
        return {"links": len(self.connections)}

    def signing_delay(self) -> float:
        return self.delay

    def turns(self) -> tuple[int, ...]:
        return ()

    def set_hosts(self, hosts: tuple[TlsHost, ...]) -> None:
        self.hosts = hosts

    def set_acme_challenges(self, challenges: tuple[TlsHost, ...]) -> None:
        self.acme_challenges = challenges

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False

    def pause_accepting(self) -> None:
        self.accepting = False

    def resume_accepting(self) -> None:
        self.accepting = True

    def stop_accepting(self) -> None:
        self.accepting = False

    def close(self) -> None:
        self.connections.clear()
        self.sessions.clear()
        os.close(self._eventfd)

    def fileno(self) -> int:
        return self._eventfd

    def events(self) -> list[GatewayEvent]:
        if self._queue:
            os.eventfd_read(self._eventfd)
        events = list(self._queue)
        self._queue.clear()
        return events

    def _tell(self, event: GatewayEvent) -> None:
        self._queue.append(event)
        os.eventfd_write(self._eventfd, 1)
