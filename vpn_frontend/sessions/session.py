# SPDX-License-Identifier: GPL-3.0-or-later
"""One session: from an accepted login to its last counters, over all its channels.

Phases, each entered once and in this order::

    WAITING   logged in, no tunnel yet; ends when the cookie expires
    OPEN      has a gateway session, addresses and a lease; connected with a connection, roaming without one
    CLOSING   told to end; lease and cookie are gone, the addresses wait for the gateway's last counters
    CLOSED    accounted for, holds nothing
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import field
from enum import IntEnum
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.gateway.interface import NO_COUNTERS, Counters
from vpn_frontend.ports import NO_TRANSPORT, SessionState, SessionView, WaitingLogin

if TYPE_CHECKING:
    from datetime import datetime

    from sentry_engine import Lease
    from vpn_frontend.gateway.limits import Budget
    from vpn_frontend.ports import CloseReason, Device, RemoteLogin, UserRecord
    from vpn_frontend.sessions.addresses.pool import InnerAddresses
    from vpn_frontend.sessions.effective_settings import EffectiveSettings
    from vpn_frontend.settings import Address


class Phase(IntEnum):
    WAITING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


@dataclass(frozen=True, slots=True)
class ToldUsage:
    """The counters of a session when a disconnect hook was told of them."""

    rx_bytes: int
    tx_bytes: int
    at: datetime


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class Peer:
    """The far end of a connection that asks for a tunnel."""

    connection_id: int
    address: Address
    port: int
    tls_version: str
    cipher: str
    local_port: int = 0
    exporter_key: bytes = field(default=b"", repr=False)
    proof_key: bytes = field(default=b"", repr=False)  # TLS 1.3 only, see docs/dtls.md
    peer_certificate: bytes = field(default=b"", repr=False)  # DER, verified by TLS; empty: none
    local_address: Address | None = None  # the server's, that it connected to
    host: str = ""  # the virtual host that answered
    bindings: tuple[bytes, ...] = field(default=(), repr=False)  # channel bindings of the TLS connection

    @property
    def certificate_digest(self) -> bytes:
        """SHA-256 of the client's certificate; empty: it has none."""
        return hashlib.sha256(self.peer_certificate).digest() if self.peer_certificate else b""

    def forget_secrets(self) -> None:
        """Drop what nothing after CONNECT needs. The session keeps its peer for as long as it lives."""
        self.exporter_key = self.proof_key = self.peer_certificate = b""
        self.bindings = ()


@dataclass(slots=True)
class Session:
    """Mutable, changed by this package only. Times are seconds of the monotonic clock."""

    id: str
    user: UserRecord
    groups: tuple[str, ...]
    settings: EffectiveSettings
    device: Device
    login_at: float
    logged_in_at: datetime
    started_at: datetime  # of the login until the tunnel is open, then of that
    user_agent: str
    expires_at: float | None  # while it has no channel
    remote: RemoteLogin | None = None  # of the login
    login_address: Address | None = None
    digest: bytes = b""  # of its cookie
    certificate_digest: bytes = b""  # SHA-256 of its client's certificate at login; empty: it had none
    host: str = ""  # the virtual host that it logged in at: its cookie opens nothing at another
    strap_keys: tuple[bytes, ...] = ()  # its client's latest, see ``strap``; empty: the login showed none
    phase: Phase = Phase.WAITING
    peer: Peer | None = None
    hostname: str = ""
    lease: Lease | None = None
    admissions: int = 0  # tunnels being set up on that lease
    addresses: InnerAddresses | None = None
    number: int = 0
    connected_at: datetime | None = None
    mtu: int = 0
    dpd: int = 0
    mobile: bool = False  # its client said so when it asked for the tunnel
    gateway_id: int | None = None
    connection_id: int | None = None  # its channel, or the connection that is becoming it
    channel_since: float = 0.0
    expected_until: float = 0.0  # roaming: its client announced a reconnect, or its rekey demands one
    heard_count: int = 0  # answers to probes, and channels
    dtls_cipher: str = ""  # empty: no DTLS at the moment
    dtls_address: Address | None = None  # source of its datagrams, possibly another network than that of TLS
    counters: Counters = NO_COUNTERS
    close_reason: CloseReason | None = None
    unsent_close: bytes | None = None  # the close frame that the gateway could not take yet
    opening: bool = False  # its connect hook runs: the tunnel is not the client's yet
    hooked: bool = False  # hooks know it: its end is told to them
    told: ToldUsage | None = None  # to its last disconnect hook, if that was not its end
    check_at: float | None = None  # Unix time when its schedule or its end may refuse it
    own_budget: Budget | None = None  # of its bandwidth, if it shares none
    accounted_bytes: int = 0  # of its counters, in the usage of its user
    noted: int = 0  # hash of what it had counted at the last checkpoint
    generation: int = 0  # of its admission by the fleet; 0: the fleet has none
    attempts: int = 0  # admissions by the fleet that were asked for
    moved: bool = False  # another node of the fleet has it: its end here is not its end

    def may_use(self, peer: Peer, *, certificate_optional: bool) -> bool:
        """True if ``peer`` shows the certificate of the login, or none where that is enough."""
        if not self.certificate_digest or (certificate_optional and not peer.peer_certificate):
            return True
        return peer.certificate_digest == self.certificate_digest

    def may_come_from(self, address: Address) -> bool:
        """False if the session is bound to the address of its login, and this is another."""
        return not self.settings.session.deny_roaming or self.login_address in (None, address)

    @property
    def has_tunnel(self) -> bool:
        """True if it is open and has had a channel."""
        return self.phase is Phase.OPEN and self.peer is not None

    @property
    def metered(self) -> bool:
        """True if its bytes count towards a quota."""
        return bool(self.settings.quota.day or self.settings.quota.month)

    @property
    def roaming(self) -> bool:
        return self.phase is Phase.OPEN and self.connection_id is None

    def is_due_to_rekey(self, now: float) -> bool:
        """True if its client closes its channel to make a new one (``new-tunnel``)."""
        settings = self.settings.session
        tls12 = self.peer is not None and self.peer.tls_version == "TLSv1.2"
        replaces = tls12 or settings.rekey_method == "new-tunnel"
        return replaces and 0 < settings.rekey_time <= now - self.channel_since

    def is_evictable(self, now: float) -> bool:
        """True if another login of its user may take its place."""
        return self.roaming and now >= self.expected_until

    def is_over(self, now: float) -> bool:
        """True once ``session_timeout`` has passed since the login."""
        limit = self.settings.session.session_timeout
        return limit > 0 and now >= self.login_at + limit

    @property
    def due_at(self) -> float | None:
        """When its time is over, or the gateway is to be told its end again. ``None``: never, as things are."""
        if self.phase >= Phase.CLOSING:
            return None if self.unsent_close is None else -math.inf
        limit = self.settings.session.session_timeout
        if limit <= 0:
            return self.expires_at
        end = self.login_at + limit
        return end if self.expires_at is None else min(end, self.expires_at)

    def remaining(self, now: float) -> int | None:
        """Seconds until ``session_timeout``, at least 1. ``None``: no limit."""
        limit = self.settings.session.session_timeout
        return max(1, int(self.login_at + limit - now)) if limit else None

    @property
    def sources(self) -> tuple[Address, ...]:
        """Every outer address that it uses."""
        found = (None if self.peer is None else self.peer.address, self.dtls_address)
        return tuple(dict.fromkeys(address for address in found if address is not None))

    def advance(self, phase: Phase) -> None:
        """Raises ``ValueError`` unless ``phase`` comes after the present one."""
        if phase <= self.phase:
            raise ValueError(f"session {self.id} cannot go from {self.phase.name} to {phase.name}")
        self.phase = phase

    def view(self, counters: Counters | None = None) -> SessionView:
        """A snapshot for other layers. Raises ``ValueError`` if the session never had a tunnel."""
        peer, addresses, settings = self.peer, self.addresses, self.settings
        if peer is None or addresses is None:
            raise ValueError(f"session {self.id} never had a tunnel")
        session = settings.session
        return SessionView(  # in the sequence of its fields: by their names it takes three times as long
            self.id,
            self.user.name,
            self.groups,
            peer.address,
            peer.port,
            addresses.ipv4,
            addresses.ipv6,
            self.logged_in_at,
            self.started_at,
            SessionState.ROAMING if self.connection_id is None else SessionState.CONNECTED,
            self._transport(),
            peer.tls_version,
            peer.cipher,
            self.user_agent,
            self.hostname or self.device.name,
            self.counters if counters is None else counters,
            self.dtls_cipher,
            self.metered,
            self.remote,
            self.number,
            self.connected_at,
            self.mtu,
            self.dpd,
            session.keepalive,
            session.cookie_timeout,
            session.disconnect_grace,
            self.host,
            bool(self.certificate_digest),
            settings.network,
            settings.bandwidth,
            self.device,
        )

    def waiting(self) -> WaitingLogin:
        """A snapshot of the login before it has a tunnel."""
        return WaitingLogin(
            id=self.id,
            user=self.user.name,
            groups=self.groups,
            address=self.login_address,
            user_agent=self.user_agent,
            logged_in_at=self.logged_in_at,
            cookie_timeout=self.settings.session.cookie_timeout,
            by_certificate=bool(self.certificate_digest),
            host=self.host,
        )

    def _transport(self) -> str:
        if self.connection_id is None:
            return NO_TRANSPORT
        return "dtls" if self.dtls_cipher else "tls"
