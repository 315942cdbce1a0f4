# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that pass between connections and the session table: logins, admissions and the two kinds of refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.sessions.session import Phase

if TYPE_CHECKING:
    from sentry_engine import Lease
    from vpn_frontend.ports import Device, RemoteLogin, UserRecord
    from vpn_frontend.protocol.connect_request import TunnelRequest
    from vpn_frontend.sessions.session import Peer, Session
    from vpn_frontend.settings import Address

RETRY_SOON = 5  # seconds, if the reason passes by itself
RETRY_LATEST = 86_400.0  # seconds; also told for a penalty without end


class CookieError(Exception):
    """The cookie opens no tunnel. The client has to log in again. ``reason`` is a stable code."""

    def __init__(self, reason: str = "bad_cookie") -> None:
        super().__init__(reason)
        self.reason = reason


class RefusedError(Exception):
    """No tunnel or login now. ``text`` is for the user, ``reason`` is a stable code, ``retry_after`` is seconds."""

    def __init__(self, text: str, reason: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.reason = reason
        self.retry_after = RETRY_SOON if retry_after is None else round(max(1.0, min(retry_after, RETRY_LATEST)))


@dataclass(slots=True)  # not frozen: one is made per request, and frozen fields are slow to set
class Login:
    """An accepted login."""

    user: UserRecord
    groups: tuple[str, ...]
    device: Device
    user_agent: str
    remote: RemoteLogin | None = None
    certificate_digest: bytes = b""  # SHA-256 of the client's certificate; empty: it had none
    address: Address | None = None  # of the client
    host: str = ""  # the virtual host
    strap_key: bytes = b""  # of STRAP; empty: the client showed none


@dataclass(slots=True)
class Admission:
    """A lease taken for a tunnel that ``peer`` asks for. Given back once, by opening the tunnel or by abandoning it."""

    session: Session
    lease: Lease
    peer: Peer
    request: TunnelRequest
    evicted: tuple[Session, ...]
    held: bool = True
    asks_hook: bool = False  # the tunnel must not be opened before the connect hook was asked
    enters_fleet: bool = False  # nor before the other nodes were

    @property
    def has_room(self) -> bool:
        """The evicted sessions have given up their addresses."""
        return not self.evicted or all(session.phase is Phase.CLOSED for session in self.evicted)
