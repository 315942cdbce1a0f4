# SPDX-License-Identifier: GPL-3.0-or-later
"""The port ``Fleet``: what sessions need of the other nodes. A server that is alone has none of it and never waits.

A session is admitted once by the fleet, before its tunnel opens, and released once, after its tunnel has closed. Each
node that has it raises its generation: what an earlier owner says of it then changes nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from sentry_engine.records import dataclass
from vpn_frontend.gateway.interface import NO_COUNTERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from vpn_frontend.auth.shared_failures import SharedFailures
    from vpn_frontend.gateway.interface import Counters
    from vpn_frontend.ports import OpenRecord
    from vpn_frontend.sessions.sealed_cookies import KeyRing
    from vpn_frontend.settings import Address, Network


ID_SIZE = 16  # bytes of a session's id
SHORT_ID_SIZE = 8  # of one that an authentication server was told


def pack_id(session_id: str) -> bytes:
    """The 16 bytes by which the fleet knows a session. Raises ``ValueError``."""
    packed = bytes.fromhex(session_id)
    if len(packed) not in (ID_SIZE, SHORT_ID_SIZE):
        raise ValueError(f"{session_id!r} is no session of a fleet")
    return packed.ljust(ID_SIZE, b"\0")


def unpack_id(packed: bytes) -> str:
    short = packed[SHORT_ID_SIZE:] == bytes(ID_SIZE - SHORT_ID_SIZE)
    return packed[:SHORT_ID_SIZE].hex() if short else packed.hex()


class FleetSilentError(Exception):
    """No answer in time, or this node may not act for the fleet at the moment."""


class AdmitStatus(StrEnum):
    OK = "ok"
    FULL = "full"  # the limit of the user is reached
    ADDRESS = "address"  # another session has the address
    REVOKED = "revoked"  # the login is older than what ended the user's sessions
    MOVED = "moved"  # another node has the session
    ENDED = "ended"  # it has ended at another node


class ClaimStatus(StrEnum):
    OK = "ok"
    LOGIN = "login"  # no node has opened it: this one may have it admitted
    UNKNOWN = "unknown"  # no such session, or another cookie
    OVER = "over"
    ENDED = "ended"
    REPLACED = "replaced"  # another session has its place
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Entry:
    """A session that is to be admitted. Times are seconds."""

    session: str
    generation: int
    user: str
    device: str
    limit: int  # sessions of the user on all nodes; 0: no limit
    on_excess: str  # as ``limits.on_excess``
    digest: bytes  # of its cookie
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None
    source: Address
    age: float  # since the login
    remaining: float | None  # None: it has no end of its own
    cookie_timeout: int


@dataclass(slots=True)  # not frozen: made for each login
class KeptLogin:
    """A login that other nodes may claim."""

    session: str
    user: str
    digest: bytes  # of its cookie
    document: str  # for the node that claims it
    cookie_timeout: int  # seconds


@dataclass(frozen=True, slots=True)
class Holder:
    """A session on one of the nodes."""

    session: str
    node: int
    generation: int


@dataclass(frozen=True, slots=True)
class Answer:
    """``holders``: with ``FULL`` those of the user's places, with ``OK`` those that gave way and are still alive."""

    status: AdmitStatus
    holders: tuple[Holder, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """A session that is this node's from now on, if ``status`` is ``OK``. With ``LOGIN`` it is no node's."""

    status: ClaimStatus
    generation: int = 0
    age: float = 0.0
    record: OpenRecord | None = None  # None: the journal has not heard of it
    counters: Counters = NO_COUNTERS  # the journal's
    login: str = ""  # with ``LOGIN``: what ``keep_login`` was given


class Standing(StrEnum):
    """What became of a session that a node has carried while the others did not hear it."""

    OK = "ok"  # it is the node's
    MOVED = "moved"  # another node has it
    REPLACED = "replaced"  # another session of its user has its place
    UNKNOWN = "unknown"  # the fleet does not know it


class Fleet(Protocol):
    @property
    def keys(self) -> KeyRing:
        """Of the cookies."""

    @property
    def failures(self) -> SharedFailures:
        """Failed logins by user, of all nodes."""

    @property
    def routed(self) -> bool:
        """Inner addresses are routed to the nodes, each to the one that has it; else each node translates them."""

    @property
    def cut_off(self) -> bool:
        """This node may not act for the fleet at the moment: other nodes may take over what it carries."""

    @property
    def alone_is_allowed(self) -> bool:
        """While it is cut off this node may open sessions by itself."""

    @property
    def draining(self) -> bool:
        """An operator wants this node to take no more clients, and to leave its own to the other nodes."""

    async def admit(self, entry: Entry) -> Answer:
        """Raises ``FleetSilentError``: the session is not admitted, whatever the database has done meanwhile."""

    async def admit_several(self, entries: Sequence[Entry]) -> Sequence[Answer]:
        """As ``admit``, of sessions that this node carries already, in their order.

        Raises ``FleetSilentError``: none of them is admitted, whatever the database has done meanwhile.
        """

    async def contest(self, holders: Sequence[Holder]) -> None:
        """Have the nodes of these sessions end those whose clients are not heard. Returns once they have looked.

        Raises ``FleetSilentError``.
        """

    async def claim(self, session: str, digest: bytes, source: Address) -> Claim:
        """Take a session of another node over, whose client has come here. Raises ``FleetSilentError``."""

    def release(self, session: str, generation: int, user: str) -> None:
        """The session has ended and its addresses are unused. Repeated until the fleet has heard it. Never waits."""

    def keep_login(self, login: KeptLogin) -> None:
        """Let other nodes claim a login that has no tunnel yet. Never waits."""

    def end(self, session: str, generation: int, user: str) -> None:
        """As ``release``, and no node lets its cookie in again. Generation 0: the fleet has not admitted it."""

    def log_out(self, session: str, digest: bytes) -> None:
        """The client of a cookie has logged out here, whichever node has its session. Never waits."""

    def lose(self, session: str, generation: int) -> None:
        """This node has let go of the session, and no other has claimed it yet. Repeated as ``release``."""

    async def lend(self, pool: Network, count: int, address: Address | None = None) -> Sequence[Address]:
        """Addresses for sessions of this node: this one, or any. Empty: none is free. Raises ``FleetSilentError``."""

    async def lent(self, pool: Network) -> Sequence[Address]:
        """All addresses of the pool that are this node's. Raises ``FleetSilentError``."""

    def give_back(self, pool: Network, addresses: Sequence[Address]) -> None:
        """Hand unused addresses back. Never waits."""

    async def own_sessions(self) -> Mapping[str, int]:
        """The sessions that are this node's, with their generation. Raises ``FleetSilentError``."""

    async def reassert(self, held: Mapping[str, int]) -> Mapping[str, Standing]:
        """Tell which sessions this node carries, with their generations; all others of it are lost.

        Raises ``FleetSilentError``.
        """
