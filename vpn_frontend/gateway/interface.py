# SPDX-License-Identifier: GPL-3.0-or-later
"""Interface of the gateway: the commands that asyncio sends it, and the events that it reports.

``native_gateway.NativeGateway`` implements it in C; ``native/gateway.h`` is the contract, mirrored here in Python's
types. A command returns at once. Its outcome is an event.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Protocol

from sentry_engine.records import dataclass
from vpn_frontend.gateway.limits import NO_LIMITS, TunnelLimits
from vpn_frontend.settings import DEFAULT_CIPHERS

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address

    from cryptography import x509

    from vpn_frontend.gateway.certificates.server_certificate import ServerCertificate
    from vpn_frontend.gateway.limits import Budget
    from vpn_frontend.settings import Address, Network


class Cause(IntEnum):
    """Why a connection or channel ended, numbered as ``enum gw_cause``."""

    NONE = 0
    PEER_CLOSED = 1
    PEER_RESET = 2
    PEER_DISCONNECT = 3
    HANDSHAKE_FAILED = 4
    TIMEOUT = 5
    DPD = 6
    PROTOCOL = 7
    STALLED = 8
    LOCAL = 9
    REPLACED = 10
    EVICTED = 11


@dataclass(frozen=True, slots=True)
class Counters:
    """Inner packets and bytes: ``rx`` from the client, ``tx`` to it."""

    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0
    last_data: float = 0.0  # seconds, CLOCK_MONOTONIC
    dtls_rx_packets: int = 0  # the part of the above that went over DTLS
    dtls_rx_bytes: int = 0
    dtls_tx_packets: int = 0
    dtls_tx_bytes: int = 0


NO_COUNTERS = Counters()


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class ConnectionUp:
    """A TLS handshake is done, and the client sent its first bytes, which follow."""

    connection_id: int
    peer: Address
    peer_port: int
    local_port: int
    tls_version: str  # "TLSv1.3"
    cipher: str
    server_name: str
    resumed: bool
    exporter_key: bytes  # 32 bytes, label EXPORTER-openconnect-psk
    proof_key: bytes = b""  # 32 bytes, label EXPORTER-ocsentry-dtls13-key
    peer_certificate: bytes = b""  # DER of the client's certificate, verified by TLS; empty: none
    # What the peer may sign for this connection: the exporter of RFC 9266 in TLS 1.3, and its Finished message.
    bindings: tuple[bytes, ...] = ()
    local_address: Address | None = None  # that the client connected to
    host: str = ""  # name of the virtual host that answered; empty: the server's own


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class ConnectionData:
    connection_id: int
    data: bytes


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class ConnectionClosed:
    """A connection without a session is gone. Its handshake may never have been done.

    One that sent nothing after its handshake is not told of, unless it was evicted.
    """

    connection_id: int
    cause: Cause
    peer: Address | None = None  # of an evicted one


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class ChannelUp:
    session: int
    connection_id: int


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class ChannelDown:
    """The session has lost its channel. ``close_message`` is the payload of the peer's DISCONNECT, if it sent one."""

    session: int
    connection_id: int
    cause: Cause
    close_message: bytes
    counters: Counters


@dataclass(frozen=True, slots=True)
class SessionIdle:
    session: int


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class SessionClosed:
    """The gateway has freed the session. Counters are final."""

    session: int
    counters: Counters


@dataclass(frozen=True, slots=True)
class SessionAlive:
    """The client was heard after ``ask``."""

    session: int


@dataclass(frozen=True, slots=True)
class DtlsUp:
    """The session sends over DTLS from now on. Reported again when the client makes a new DTLS connection."""

    session: int
    peer: Address
    peer_port: int
    version: str  # "DTLSv1.2"
    cipher: str


@dataclass(frozen=True, slots=True)
class DtlsDown:
    """The session sends over TLS only. Its client may use DTLS again at any time."""

    session: int
    cause: Cause


@dataclass(frozen=True, slots=True)
class TunDown:
    """A worker lost its TUN queue: the device was deleted. The gateway carries no packets any more."""


@dataclass(frozen=True, slots=True)
class TunFailing:
    """Reads of a worker's TUN queue fail with ``error``, an errno, and are tried now and then. 0: they work again."""

    worker: int
    error: int


@dataclass(frozen=True, slots=True)
class SignerDown:
    """A worker lost the signing process. Handshakes that need a signature fail from now on."""


@dataclass(frozen=True, slots=True)
class QuotaExceeded:
    """A packet of the session was dropped since a quota is used up. Reported once until the quota is set again."""

    session: int


@dataclass(frozen=True, slots=True)
class ProxyRefused:
    """A connection of a listed proxy was closed, since its PROXY header names no client. ``problem`` says why."""

    proxy: Address
    problem: str


GatewayEvent = (
    ConnectionUp
    | ConnectionData
    | ConnectionClosed
    | ChannelUp
    | ChannelDown
    | SessionIdle
    | SessionClosed
    | SessionAlive
    | DtlsUp
    | DtlsDown
    | TunDown
    | TunFailing
    | SignerDown
    | QuotaExceeded
    | ProxyRefused
)


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class TunnelParameters:
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None
    mtu: int
    dpd: int  # seconds; 0: never
    idle_timeout: int  # seconds; 0: never
    rekey: int = 0  # seconds between new keys of a TLS 1.3 channel; 0: never
    limits: TunnelLimits = NO_LIMITS
    iroutes: tuple[Network, ...] = ()  # behind the client; one that another session has passes to this one
    iroutes_exposed: bool = False  # other clients may reach them
    key: bytes = b""  # of its account (``accounts``), 16 bytes; empty: none
    counters: Counters = NO_COUNTERS  # that it goes on with


@dataclass(frozen=True, slots=True)
class DtlsPsk:
    """``PSK-NEGOTIATE``: the client sends ``app_id`` in its hello and knows ``key``, exported from its TLS."""

    app_id: bytes  # 32 bytes, from a CSPRNG: X-DTLS-App-ID
    key: bytes  # 32 bytes: ConnectionUp.exporter_key of the connection that carried CONNECT


@dataclass(frozen=True, slots=True)
class DtlsResumption:
    """``X-DTLS12-CipherSuite``: the client resumes ``session_id`` with a master secret that it sent over TLS."""

    session_id: bytes  # 32 bytes, from a CSPRNG: X-DTLS-Session-ID
    master_secret: bytes  # 48 bytes: X-DTLS-Master-Secret
    cipher: str  # one of DTLS12_SUITES or OC_DTLS12_SUITES that the client offered


@dataclass(frozen=True, slots=True)
class DtlsCertificate:
    """``X-DTLS13-CipherSuite``: DTLS 1.3 with the server's certificate, then the client proves that it has ``key``."""

    app_id: bytes  # 32 bytes, from a CSPRNG: X-DTLS-App-ID
    key: bytes  # 32 bytes: ConnectionUp.proof_key of the connection that carried CONNECT
    suites: tuple[str, ...]  # those of DTLS13_SUITES that the client offered


DtlsOffer = DtlsPsk | DtlsResumption | DtlsCertificate

# Names in X-DTLS12-CipherSuite that the gateway speaks, best first.
DTLS12_SUITES = (
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES256-GCM-SHA384",
    "DHE-RSA-AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
)
# The same in X-DTLS-CipherSuite: openconnect's names.
OC_DTLS12_SUITES = ("OC-DTLS1_2-AES256-GCM", "OC-DTLS1_2-AES128-GCM")
# Names in X-DTLS13-CipherSuite, likewise: those of TLS's registry.
DTLS13_SUITES = ("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256")


class GatewayError(Exception):
    """The gateway refused a command or could not start. The text names the command and the cause."""


class Offload(IntFlag):
    """Kernel batching to use where available (``enum gw_offload``). Only ACKS changes what is delivered."""

    NONE = 0
    TSO = 1  # large TCP packets from the TUN queue, split by the gateway
    USO = 2  # the same for UDP
    COALESCE = 4  # packets of a flow merged before they go to the TUN queue
    UDP_GSO = 8  # DTLS: many datagrams in one sendmsg
    UDP_GRO = 16  # DTLS: many datagrams in one recvmsg
    ACKS = 32  # with COALESCE: only the last of several TCP acknowledgements is delivered
    ALL = 63


class RevocationCheck(IntEnum):
    """Which certificates need a revocation list, numbered as ``enum gw_revocation_check``."""

    OFF = 0
    LEAF = 1  # the client's own
    CHAIN = 2  # those of the authorities above it too


@dataclass(frozen=True, slots=True)
class ClientAuthorities:
    """Whose certificates clients may have, in PEM. ``ca`` empty: clients are not asked. ``crl`` are lists in date.

    With ``revocation`` a client whose issuer has no list is refused. ``listed`` are not for TLS: clients in them are
    refused after the handshake.
    """

    ca: bytes = b""
    crl: bytes = b""
    revocation: RevocationCheck = RevocationCheck.OFF
    listed: tuple[x509.CertificateRevocationList, ...] = ()


NO_CLIENT_AUTHORITIES = ClientAuthorities()


@dataclass(frozen=True, slots=True)
class TlsHost:
    """A virtual host: what TLS needs of it. ``name`` is compared with SNI. Clients may have no certificate."""

    certificates: tuple[ServerCertificate, ...]  # by preference: the first that the client can verify is used
    clients: ClientAuthorities = NO_CLIENT_AUTHORITIES
    name: str = ""  # in lower case; empty: the server's own, which gets every other name too


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """How to start a gateway. Descriptors are open and configured. Their ownership passes to the gateway.

    The first of ``hosts`` is the server's own. ``gate`` is the address of the engine's ``struct se_gate``. Times are
    seconds.
    """

    listeners: tuple[tuple[int, ...], ...]  # listening sockets, one tuple per worker
    tuns: tuple[int, ...]  # TUN queues: the first of each worker, then, if there are more, the second of each
    hosts: tuple[TlsHost, ...]
    gate: int
    max_connections: int
    max_sessions: int
    handshake_timeout: float
    conversation_timeout: float  # before the tunnel, without a byte from the peer
    write_timeout: float = 10.0  # without the peer reading a byte of what waits for it
    udp: tuple[tuple[int, ...], ...] = ()  # sockets for DTLS, one tuple per worker
    offloads: Offload = Offload.ALL
    worker_filter: bytes = b""  # a seccomp program that each worker loads at its start; empty: none
    ipv4_pool: IPv4Network | None = None  # packets of clients to its broadcast address are dropped
    proxies: tuple[Network, ...] = ()  # whose connections begin with a PROXY header
    ciphers: tuple[str, ...] = DEFAULT_CIPHERS  # of TLS, wolfSSL's names, by preference
    fips: bool = False  # groups, keys and TLS 1.2 by FIPS 140-3 alone
    accounts: memoryview | None = None  # memory for counters that outlive the gateway (``accounts``); None: its own
    signers: tuple[
        int, ...
    ] = ()  # sockets to the signing process, one per worker, if certificates have their key there


class OpenGateway(Protocol):
    """Starts a gateway, as ``native_gateway.open_gateway`` does. Raises ``GatewayError``."""

    def __call__(self, config: GatewayConfig) -> Gateway: ...


class Gateway(Protocol):
    def send(self, connection_id: int, data: bytes) -> None: ...

    def close_connection(self, connection_id: int) -> None:
        """Close after all data sent so far is out."""

    def open_session(self, connection_id: int, parameters: TunnelParameters) -> int:
        """Open a session on the worker of the connection. Returns its id. No packets flow before ``attach``.

        A number of a worker is as good as a connection: a session without one waits there for its client.
        """

    def new_budget(self) -> Budget:
        """Without limits until they are set. Sessions that are given the same budget share it."""

    def limit(self, session: int, limits: TunnelLimits) -> None:
        """Replace the limits of a live session."""

    def set_dtls(self, session: int, offer: DtlsOffer) -> None:
        """Expect this DTLS client instead of any earlier one. Takes effect with the next ``attach``."""

    def attach(self, session: int, connection_id: int, head: bytes, early: bytes) -> None:
        """Send ``head``, then make the connection the channel of ``session``.

        ``early`` is what the peer sent after its CONNECT.
        """

    def close_session(self, session: int, frame: bytes) -> None:
        """Send ``frame`` (a CSTP frame, or nothing) and close. Ignored for an id that is gone."""

    def resize(self, session: int, mtu: int) -> None:
        """Set the largest inner packet for the client, in bytes."""

    def ask(self, session: int) -> None:
        """Probe the client. ``SessionAlive`` follows once it is heard, at once if it was heard within two seconds."""

    def counters(self, session: int) -> Counters: ...

    def traffic(self, session: int) -> tuple[int, int]:
        """Inner bytes from and to the client; of the counters the two that are read for all sessions at once."""

    def total_traffic(self) -> tuple[int, int]:
        """The same of all clients since the start, those of ended sessions too, without what former processes saw."""

    def stats(self) -> dict[str, int]: ...

    def signing_delay(self) -> float:
        """Seconds that the oldest request for a signature has no answer. 0: none waits."""

    def turns(self) -> tuple[int, ...]:
        """The turns that each worker's loop has made. Wakes every worker: a later call finds other numbers."""

    def set_hosts(self, hosts: tuple[TlsHost, ...]) -> None:
        """Use other certificates and authorities for new handshakes, of the same hosts in the same sequence.

        Raises ``GatewayError``, then nothing changes.
        """

    def set_acme_challenges(self, challenges: tuple[TlsHost, ...]) -> None:
        """Show these certificates, and no earlier ones, to ACME servers that ask for their names (RFC 8737).

        Such a connection ends with its handshake, without an event. Raises ``GatewayError``, then nothing changes.
        """

    def hold(self) -> None:
        """Delay commands until ``release``, which must follow soon, so that workers get them together."""

    def release(self) -> None: ...

    def pause_accepting(self) -> None:
        """Refuse connections from now on, as if nothing listened. Those that are open live on.

        The sockets stay bound, so that resuming needs no rights.
        """

    def resume_accepting(self) -> None:
        """End a pause. Raises ``OSError``."""

    def stop_accepting(self) -> None: ...

    def close(self) -> None: ...

    def fileno(self) -> int:
        """Readable while events wait."""

    def events(self) -> list[GatewayEvent]: ...
