# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports of the VPN: what it needs from the layers above, and the values it passes to them."""

from __future__ import annotations

from dataclasses import field
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING, Protocol

from sentry_engine.records import dataclass
from vpn_frontend.settings import BandwidthSettings, Network, NetworkSettings, Overrides

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from ipaddress import IPv4Address, IPv6Address

    from vpn_frontend.gateway.interface import Counters
    from vpn_frontend.settings import Address

NO_TRANSPORT = "none"  # of a session without a channel
NO_NETWORK, NO_BANDWIDTH = NetworkSettings(), BandwidthSettings()


SettingsLayers = tuple[tuple[str, Overrides], ...]  # each an origin and what it sets, the highest precedence first
NO_LAYERS: SettingsLayers = ()


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user of the directory. ``name`` is the canonical spelling, used by sessions and leases."""

    name: str
    password_hash: str | None = None  # argon2id or crypt(3), see ``auth.password.hashes``; None: no login by password
    groups: tuple[str, ...] = ()
    enabled: bool = True
    max_same_clients: int | None = None  # None: what the policy says
    ipv4: IPv4Address | None = None  # static inner addresses
    ipv6: IPv6Address | None = None
    expires_at: datetime | None = None  # aware
    external: bool = False  # authenticated by an outside server; the directory may not have the user
    overrides: Overrides = field(default_factory=Overrides)  # what else differs from the user's groups
    code_only: bool = False  # has no password: no login goes without its one-time password, see ``Authenticator``
    file_layers: SettingsLayers = NO_LAYERS  # of the files that were read at the login


@dataclass(frozen=True, slots=True)
class RemoteLogin:
    """What an authentication server said of an accepted login, beside user and groups."""

    origin: str  # of ``overrides``, for operators: ``radius``
    name: str  # the user's, as that server spells it
    session_id: str = ""  # by which that server knows the session; empty: the session gets its own
    overrides: Overrides = field(default_factory=Overrides)
    classes: tuple[bytes, ...] = ()  # RADIUS Class, repeated in accounting (RFC 2865 5.25)
    interim: int = 0  # seconds between two accounting updates; 0: as configured


DIRECTORY_DEADLINE = 5.0  # seconds for one look-up in a directory of users


class UserDirectory(Protocol):
    async def find(self, name: str) -> UserRecord | None:
        """The user of that name, ``None`` if there is none. After an exception the client is told to try later."""

    def recall(self, name: str) -> UserRecord | None:
        """What ``find`` would return, if that is cached. ``None``: call ``find``."""

    async def hash_samples(self) -> Sequence[str]:
        """Hashes that other programs made, one of each scheme at least (``auth.password``). Called once, at start."""


class SettingsFileError(Exception):
    """A file of settings cannot be used. The text is for the user."""


class SettingsFiles(Protocol):
    async def read(self, user: str, group: str) -> SettingsLayers:
        """What the files of the user and of the group set; an empty ``group``: there is none.

        Raises ``SettingsFileError``. After any other exception the client is told to try later.
        """


class SessionState(StrEnum):
    CONNECTED = "connected"
    ROAMING = "roaming"  # no channel; the client may reconnect with its cookie


class CloseReason(StrEnum):
    """Why a session ended. Codes are stable: they are part of the journal, the events and the API."""

    USER_DISCONNECT = "user_disconnect"
    LOGOUT = "logout"
    CONNECTION_LOST = "connection_lost"  # roaming for longer than the cookie lives
    IDLE_TIMEOUT = "idle_timeout"
    SESSION_TIMEOUT = "session_timeout"
    KILLED = "killed"  # by an operator
    POLICY = "policy"  # the engine now refuses the user or the source
    REPLACED = "replaced"  # a newer login of the same user took its place
    SHUTDOWN = "shutdown"
    CRASHED = "crashed"  # found open at start; the process before never closed it
    NODE_LOST = "node_lost"  # found open by another node of the fleet: its own is silent, its cookie has ended
    FAILED = "failed"  # the tunnel could not be set up
    EXPIRED = "expired"  # the account or its group has expired
    SCHEDULE = "schedule"  # outside the hours of the user or group
    QUOTA_EXCEEDED = "quota_exceeded"  # of the day or the month
    ACCOUNTING = "accounting"  # no accounting server has taken its start, and none may go without


@dataclass(frozen=True, slots=True)
class Device:
    """The client's description of its machine. Not authenticated: shown and compared, never trusted."""

    name: str = ""
    platform: str = ""
    platform_version: str = ""
    kind: str = ""
    unique_id: str = ""


NO_DEVICE = Device()


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class SessionView:
    """A snapshot of one session. ``id`` stays the same over reconnects.

    ``address`` and ``port`` are the peer's on the newest channel. ``transport`` is ``tls``, ``dtls`` or, while roaming,
    ``none``. Counters are inner packets and bytes since the session opened.
    """

    id: str
    user: str
    groups: tuple[str, ...]
    address: Address
    port: int
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None
    logged_in_at: datetime  # aware, UTC; the tunnel opens later
    started_at: datetime
    state: SessionState
    transport: str
    tls_version: str
    cipher: str
    user_agent: str
    hostname: str
    counters: Counters
    dtls_cipher: str = ""  # while datagrams flow
    metered: bool = False  # its bytes count towards a quota
    remote: RemoteLogin | None = None  # of the login
    number: int = 0  # positive, of no other session of this server process; for tools that want a number
    connected_at: datetime | None = None  # when its newest channel came up
    mtu: int = 0
    dpd: int = 0
    keepalive: int = 0
    cookie_timeout: int = 0
    disconnect_grace: int = 0
    host: str = ""  # the virtual host that it logged in at; empty: the server itself
    by_certificate: bool = False  # its login showed one
    network: NetworkSettings = NO_NETWORK  # what its client was told
    bandwidth: BandwidthSettings = NO_BANDWIDTH
    device: Device = NO_DEVICE  # as its client describes it

    @property
    def server_ipv4(self) -> IPv4Address | None:
        """The server's own inner address."""
        pool = self.network.ipv4_pool
        return None if pool is None or self.ipv4 is None else pool[1]

    @property
    def server_ipv6(self) -> IPv6Address | None:
        pool = self.network.ipv6_pool
        return None if pool is None or self.ipv6 is None else pool[1]


@dataclass(frozen=True, slots=True)
class WaitingLogin:
    """A login whose client has not asked for its tunnel yet."""

    id: str  # of the session that it becomes
    user: str
    groups: tuple[str, ...]
    address: Address | None
    user_agent: str
    logged_in_at: datetime  # aware, UTC
    cookie_timeout: int
    by_certificate: bool
    host: str = ""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Open tunnels, and the inner bytes from and to all clients since the start."""

    tunnels: int
    rx_bytes: int
    tx_bytes: int


NO_TRAFFIC = Traffic(0, 0, 0)


@dataclass(frozen=True, slots=True)
class SessionStatistics:
    """Counts since the start, and, behind ``since``, those of the present period. Seconds and bytes."""

    sessions: int
    refused_logins: int
    since: datetime  # aware
    ended: int
    timed_out: int  # by ``session_timeout``
    idle: int
    failed: int
    refused_logins_in_period: int
    average_login: float
    longest_login: float
    average_session: float
    longest_session: float
    min_mtu: int  # of the ended sessions; 0: none has ended
    max_mtu: int
    rx_bytes: int
    tx_bytes: int


class Stage(Enum):
    """The state of a session in a journal entry."""

    OPENED = auto()
    SEEN = auto()  # the counters so far, written every minute for the case of a crash
    CLOSED = auto()


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class JournalEntry:
    """``reason`` is set with ``CLOSED`` and only then."""

    stage: Stage
    view: SessionView
    reason: CloseReason | None = None
    resumption: str = ""  # by which a later process gives the session back; empty: as it was, or it cannot


# What the journal keeps of a session in columns of their own; ``JournalEntry.resumption`` does not repeat them.
SESSION_ROW = (
    "user",
    "groups",
    "address",
    "port",
    "ipv4",
    "ipv6",
    "tls_version",
    "cipher",
    "user_agent",
    "hostname",
    "started_at",
)


@dataclass(frozen=True, slots=True)
class OpenRecord:
    """A session that a former process left open. ``accounted``: bytes both ways that the journal has counted.

    ``row`` has the values of ``SESSION_ROW``; addresses may be texts.
    """

    id: str
    resumption: str
    accounted: int
    row: Mapping[str, object]


@dataclass(slots=True)
class Usage:
    """Bytes of one user, both ways, in the day and in the month so far."""

    day: int = 0
    month: int = 0


class AccountingGate(Protocol):
    @property
    def refuses(self) -> bool:
        """True if no session may be opened now, because it could not be accounted for."""


class SessionJournal(Protocol):
    """Accounting of sessions: exactly one ``OPENED`` and one ``CLOSED`` for each, in that order."""

    async def record(self, entries: Sequence[JournalEntry]) -> Sequence[tuple[JournalEntry, Exception]]:
        """Write ``entries`` in order. They are on disk when this returns.

        Returns the entries that cannot be written, each with its error. Any exception means that the batch may or may
        not be written; writing it again is harmless.
        """

    async def used_so_far(self) -> Mapping[str, Usage]:
        """Bytes of metered sessions in this day and month, by user: by how much their counters grew. Called at start.

        An entry counts on the day when it is written.
        """

    async def has_logged_in(self, user: str, address: Address) -> bool:
        """True if one of the latest sessions of a user came from the address, or from the /64 of an IPv6 address."""

    async def open_records(self) -> Sequence[OpenRecord]:
        """Sessions that a former process left open and that may be given back, in the order of their start."""

    async def close_orphans(self, keep: Collection[str] = ()) -> int:
        """Mark sessions that a former process left open as ``crashed``. Returns how many. Called once, at start.

        ``keep``: those that live on here. Those that a fleet holds for their clients are left to it.
        """


class SessionHooks(Protocol):
    """Programs of the operator. ``environment`` is theirs. Those of one session run one after the other."""

    @property
    def has_connect(self) -> bool: ...

    @property
    def each_connection(self) -> bool:
        """True if a session is told as ended and begun when its client comes back over another connection."""

    @property
    def sets_routes(self) -> bool:
        """True if the programs of ``connect`` and ``disconnect`` set the kernel's routes to networks behind clients."""

    async def connect(self, session: str, user: str, environment: Mapping[str, str]) -> bool:
        """False: the session is refused."""

    def disconnect(self, session: str, user: str, environment: Mapping[str, str]) -> None: ...

    def leave(self, session: str, user: str, environment: Mapping[str, str]) -> None:
        """The session goes on at another node: only what holds for this host alone is undone."""

    def host_update(self, session: str, user: str, environment: Mapping[str, str]) -> None: ...


class ClientRoutes(Protocol):
    """Routes of the kernel that lead to the TUN device: networks behind clients, their fixed addresses outside pools.

    Nothing here waits or raises.
    """

    def add(self, network: Network) -> None: ...

    def remove(self, network: Network) -> None: ...

    def is_local(self, address: Address) -> bool:
        """True if this host has the address itself: a route to a client would lead nowhere."""
        ...


class VpnEvent(StrEnum):
    """Log events of the VPN. Each kind always has the same fields."""

    LOGIN_ACCEPTED = "login_accepted"  # user, address, user_agent
    LOGIN_REFUSED = "login_refused"  # user, address, reason, final
    TUNNEL_REFUSED = "tunnel_refused"  # user, address, reason
    SESSION_OPENED = "session_opened"  # session, user, address, ipv4, ipv6, user_agent
    SESSION_ROAMED = "session_roamed"  # session, user, address: a new channel took over
    CHANNEL_LOST = "channel_lost"  # session, user, cause
    DTLS_UP = "dtls_up"  # session, user, address, cipher
    DTLS_DOWN = "dtls_down"  # session, user, cause
    SESSION_CLOSED = (
        "session_closed"  # session, user, address, reason, rx_bytes, tx_bytes, dtls_rx_bytes, dtls_tx_bytes, duration
    )
    SESSIONS_RESTORED = "sessions_restored"  # restored, ended, seconds: of the last process
    SESSIONS_SUSPENDED = "sessions_suspended"  # count: left to the next process
    SESSIONS_LOST = "sessions_lost"  # count, problem: of the last process, they cannot be given back
    OCSP_NOT_STAPLED = "ocsp_not_stapled"  # problem: of an OCSP response of the server's own certificates
    STRAP_FAILED = "strap_failed"  # session, user, address, reason: a CONNECT was let in all the same
    CLIENTS_REFUSED = "clients_refused"  # problem: of the authorities of client certificates or their lists
    LINK_REFUSED = "link_refused"  # address, reason: a peer broke the protocol or a bound
    TUN_LOST = "tun_lost"  # device
    TUN_FAILING = "tun_failing"  # device, worker, error: empty once reads work again
    SIGNER_LOST = "signer_lost"
    RADIUS_SERVER_DEAD = "radius_server_dead"  # server, purpose, error: no answer to a request
    RADIUS_SERVER_ALIVE = "radius_server_alive"  # server, purpose: it answers again
    RADIUS_ANSWER_DROPPED = "radius_answer_dropped"  # server, purpose, error: a datagram that is no valid answer
    ACCOUNTING_DROPPED = "accounting_dropped"  # count: ends of sessions that no server has taken for a week
    USER_FILE_REFUSED = "user_file_refused"  # file, problem: a part of a file of users is not used
    IROUTE_FAILED = "iroute_failed"  # network, error: the kernel has no route to what a client has
    BACKEND_FAILED = "backend_failed"  # what, error: a directory or journal did not answer


class EventSink(Protocol):
    def emit(self, kind: str, **fields: object) -> None:
        """Log one event. Never blocks, never raises."""
