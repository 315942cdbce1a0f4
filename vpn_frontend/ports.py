# SPDX-License-Identifier: GPL-3.0-or-later
"""What the VPN needs from the layers above it, and the values it shows them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from vpn_frontend.gateway.interface import Counters

Address = IPv4Address | IPv6Address
NO_TRANSPORT = "none"  # of a session without a channel


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user as the directory knows it. ``name`` is the canonical spelling; sessions and leases go by it."""

    name: str
    password_hash: str | None = None  # argon2id or crypt(3), see ``auth.password``; None: no login by password
    groups: tuple[str, ...] = ()
    enabled: bool = True
    max_same_clients: int | None = None  # None: what the policy says
    ipv4: IPv4Address | None = None  # static inner addresses
    ipv6: IPv6Address | None = None
    expires_at: datetime | None = None  # aware


class UserDirectory(Protocol):
    async def find(self, name: str) -> UserRecord | None:
        """The user of that name; ``None``: there is none. Any exception is answered with "try again later"."""

    def recall(self, name: str) -> UserRecord | None:
        """What ``find`` would answer, where that is known without asking; ``None``: it has to be asked."""


class SessionState(StrEnum):
    CONNECTED = "connected"
    ROAMING = "roaming"  # no channel at the moment; the cookie brings the client back


class CloseReason(StrEnum):
    """Why a session ended. Codes are stable: journal, events and API speak them."""

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
    FAILED = "failed"  # the tunnel could not be set up


@dataclass(frozen=True, slots=True)
class SessionView:
    """One session as others see it, at one moment. ``id`` is stable over reconnects.

    ``address`` and ``port`` are the peer's of the newest channel, ``transport`` is ``tls`` or ``dtls`` (``none`` while
    roaming), counters are inner packets and bytes since the session began.
    """

    id: str
    user: str
    groups: tuple[str, ...]
    address: Address
    port: int
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None
    started_at: datetime  # aware, UTC
    state: SessionState
    transport: str
    tls_version: str
    cipher: str
    user_agent: str
    hostname: str
    counters: Counters
    dtls_cipher: str = ""  # while datagrams flow


class Stage(Enum):
    """Where in its life a session is that the journal hears of."""

    OPENED = auto()
    SEEN = auto()  # the counters so far, now and then, so that a crash loses little of them
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """``reason`` is there with ``CLOSED``, and only then."""

    stage: Stage
    view: SessionView
    reason: CloseReason | None = None


class SessionJournal(Protocol):
    """Where sessions are accounted for: exactly one ``OPENED`` and one ``CLOSED`` for each, in that order."""

    async def record(self, entries: Sequence[JournalEntry]) -> Sequence[tuple[JournalEntry, Exception]]:
        """Write ``entries``, which are in their order; they are on disk when this returns, but for those it returns,
        each with what is wrong with it. Raises what a journal raises that does not work at all: then nobody knows what
        was written, and to write all of it again does no harm.
        """

    async def close_orphans(self) -> int:
        """Mark as ``crashed`` what is still open from a process before; returns how many. Called once, at start."""


class VpnEvent(StrEnum):
    """The VPN's part of the log vocabulary; the fields of each are the same wherever it is emitted."""

    LOGIN_ACCEPTED = "login_accepted"  # user, address, user_agent
    LOGIN_REFUSED = "login_refused"  # user, address, reason, final
    TUNNEL_REFUSED = "tunnel_refused"  # user, address, reason
    SESSION_OPENED = "session_opened"  # session, user, address, ipv4, ipv6, user_agent
    SESSION_ROAMED = "session_roamed"  # session, user, address: a new channel took over
    CHANNEL_LOST = "channel_lost"  # session, user, cause
    DTLS_UP = "dtls_up"  # session, user, address, cipher
    DTLS_DOWN = "dtls_down"  # session, user, cause
    SESSION_CLOSED = "session_closed"  # session, user, reason, rx_bytes, tx_bytes
    LINK_REFUSED = "link_refused"  # address, reason: a peer broke the protocol or a bound
    BACKEND_FAILED = "backend_failed"  # what, error: a directory or journal did not answer


class EventSink(Protocol):
    def emit(self, kind: str, **fields: object) -> None:
        """Take one event of the log vocabulary; never blocks, never raises."""
