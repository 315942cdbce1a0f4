# SPDX-License-Identifier: GPL-3.0-or-later
"""One session: from a login that was right to the last packet counted, over all the channels it has meanwhile.

Phases, each entered once and in this order::

    WAITING   logged in, no tunnel yet; ends with the cookie
    OPEN      has a gateway session, addresses and a lease; with a connection it is connected, without one it roams
    CLOSING   told to end; lease and cookie are gone, the addresses wait for the gateway's last counters
    CLOSED    accounted for, nothing held
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import NO_TRANSPORT, SessionState, SessionView

if TYPE_CHECKING:
    from datetime import datetime

    from sentry_engine import Lease
    from vpn_frontend.gateway.interface import Address
    from vpn_frontend.ports import CloseReason, UserRecord
    from vpn_frontend.protocol.config_auth import Device
    from vpn_frontend.sessions.address_pool import InnerAddresses


NOTHING_COUNTED = Counters()  # one for all sessions that have moved nothing yet


class Phase(IntEnum):
    WAITING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


@dataclass(frozen=True, slots=True)
class Peer:
    """The far end of a connection that asks for a tunnel."""

    connection_id: int
    address: Address
    port: int
    tls_version: str
    cipher: str
    local_port: int = 0
    exporter_key: bytes = field(default=b"", repr=False)
    proof_key: bytes = field(default=b"", repr=False)  # of TLS 1.3 alone, see docs/dtls.md
    peer_certificate: bytes = field(default=b"", repr=False)  # DER, verified by TLS; empty: none


@dataclass(slots=True)
class Session:
    """Mutable, and changed by ``SessionTable`` alone. Times are seconds of the monotonic clock."""

    id: str
    user: UserRecord
    groups: tuple[str, ...]
    device: Device
    login_at: float
    started_at: datetime  # of the login until the tunnel is open, then of that
    user_agent: str
    expires_at: float | None  # while it has no channel
    digest: bytes = b""  # of its cookie
    phase: Phase = Phase.WAITING
    peer: Peer | None = None
    hostname: str = ""
    lease: Lease | None = None
    admissions: int = 0  # tunnels being set up on that lease
    addresses: InnerAddresses | None = None
    mtu: int = 0
    gateway_id: int | None = None
    connection_id: int | None = None  # its channel, or the connection that is becoming it
    channel_since: float = 0.0
    back_by: float = 0.0  # while it roams: until then its client is on its way back, as it said or its rekey demands
    signs_of_life: int = 0  # grows with each answer to a question, and with each channel
    dtls_cipher: str = ""  # empty: no DTLS at the moment
    dtls_address: Address | None = None  # where its datagrams come from, which may be another network than its TLS
    counters: Counters = NOTHING_COUNTED
    close_reason: CloseReason | None = None
    unsaid: bytes | None = None  # the farewell that the gateway has yet to be told of

    @property
    def roaming(self) -> bool:
        return self.phase is Phase.OPEN and self.connection_id is None

    def is_due_to_rekey(self, rekey_time: int, now: float) -> bool:
        """A client of TLS 1.2 closes its channel after so long to make a new one (``new-tunnel``); 0: never."""
        old = self.peer is not None and self.peer.tls_version == "TLSv1.2"
        return old and 0 < rekey_time <= now - self.channel_since

    def gives_way(self, now: float) -> bool:
        """Its place may be had by another login of its user."""
        return self.roaming and now >= self.back_by

    @property
    def sources(self) -> tuple[Address, ...]:
        """Every outer address that it uses."""
        found = (None if self.peer is None else self.peer.address, self.dtls_address)
        return tuple(dict.fromkeys(address for address in found if address is not None))

    def advance(self, phase: Phase) -> None:
        if phase <= self.phase:
            raise ValueError(f"session {self.id} cannot go from {self.phase.name} to {phase.name}")
        self.phase = phase

    def view(self, counters: Counters | None = None) -> SessionView:
        """How it looks to others; only for a session that has or had a tunnel."""
        if self.peer is None or self.addresses is None:
            raise ValueError(f"session {self.id} never had a tunnel")
        return SessionView(
            id=self.id,
            user=self.user.name,
            groups=self.groups,
            address=self.peer.address,
            port=self.peer.port,
            ipv4=self.addresses.ipv4,
            ipv6=self.addresses.ipv6,
            started_at=self.started_at,
            state=SessionState.ROAMING if self.connection_id is None else SessionState.CONNECTED,
            transport=self._transport(),
            tls_version=self.peer.tls_version,
            cipher=self.peer.cipher,
            user_agent=self.user_agent,
            hostname=self.hostname or self.device.name,
            counters=self.counters if counters is None else counters,
            dtls_cipher=self.dtls_cipher,
        )

    def _transport(self) -> str:
        if self.connection_id is None:
            return NO_TRANSPORT
        return "dtls" if self.dtls_cipher else "tls"
