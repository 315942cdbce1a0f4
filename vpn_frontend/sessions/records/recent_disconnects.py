# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions whose clients disconnected by themselves a moment ago, by cookie: at most 8192, then the oldest goes.

AnyConnect sends a DISCONNECT before it moves to another network, and then reconnects with its cookie. The session has
ended all the same: lease and addresses are free, and it is accounted for. A client that comes back gets a new session.
"""

from __future__ import annotations

import math
import secrets
from collections import OrderedDict
from dataclasses import field
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.sessions.cookies import digest_of
from vpn_frontend.sessions.limits.access import next_check
from vpn_frontend.sessions.session import Session

if TYPE_CHECKING:
    from datetime import datetime

    from vpn_frontend.ports import Device, RemoteLogin, UserRecord
    from vpn_frontend.sessions.effective_settings import EffectiveSettings
    from vpn_frontend.settings import Address

MAX_DISCONNECTED = 8192


@dataclass(slots=True)  # not frozen: made for each session that ends, and frozen fields are slow to set
class FormerSession:
    """What a login leaves for the client's return: less than a session, and no keys of its connections."""

    user: UserRecord
    groups: tuple[str, ...]
    device: Device
    login_at: float
    logged_in_at: datetime
    user_agent: str
    remote: RemoteLogin | None
    login_address: Address | None
    digest: bytes = field(repr=False)  # of its cookie
    certificate_digest: bytes
    host: str
    strap_keys: tuple[bytes, ...]
    until: float  # monotonic

    def revive(
        self, settings: EffectiveSettings, number: int, now: float, at: datetime, session_id: str = ""
    ) -> Session:
        """A new session for the client that has come back. ``settings`` are the present ones of its user.

        ``session_id`` empty: one of its own.
        """
        return Session(
            id=session_id or secrets.token_hex(8),
            number=number,
            user=self.user,
            groups=self.groups,
            settings=settings,
            device=self.device,
            login_at=self.login_at,
            logged_in_at=self.logged_in_at,
            started_at=at,
            user_agent=self.user_agent,
            expires_at=now + settings.session.cookie_timeout,
            remote=self.remote,
            digest=self.digest,
            certificate_digest=self.certificate_digest,
            strap_keys=self.strap_keys,
            login_address=self.login_address,
            host=self.host,
            check_at=next_check(settings, at),
        )


class RecentDisconnects:
    """``disconnect_grace`` of its settings says how long a session is kept. Times are monotonic."""

    def __init__(self) -> None:
        # By cookie, oldest first. A dict would pass over all places that were freed before its first entry.
        self._kept: OrderedDict[bytes, FormerSession] = OrderedDict()
        self._soonest = math.inf  # no session is due before

    def __len__(self) -> int:
        return len(self._kept)

    def add_session(self, session: Session, now: float) -> None:
        grace = session.settings.session.disconnect_grace
        if grace <= 0:
            return
        if len(self._kept) >= MAX_DISCONNECTED:
            self._kept.popitem(last=False)
        self._soonest = min(self._soonest, now + grace)
        self._kept[session.digest] = FormerSession(
            user=session.user,
            groups=session.groups,
            device=session.device,
            login_at=session.login_at,
            logged_in_at=session.logged_in_at,
            user_agent=session.user_agent,
            remote=session.remote,
            login_address=session.login_address,
            digest=session.digest,
            certificate_digest=session.certificate_digest,
            host=session.host,
            strap_keys=session.strap_keys,
            until=now + grace,
        )

    def has_session(self, cookie: str) -> bool:
        digest = digest_of(cookie)
        return digest is not None and digest in self._kept

    def take_session(self, cookie: str, now: float, host: str = "") -> FormerSession | None:
        """The session of ``host`` that a client wants back, once. ``None``: there is none, or its time is over."""
        kept = self._take(cookie, host)
        return kept if kept is not None and now < kept.until else None

    def forget_session(self, cookie: str, host: str = "") -> None:
        """The user logged out."""
        self._take(cookie, host)

    def _take(self, cookie: str, host: str) -> FormerSession | None:
        """Take it out, unless it is of another host."""
        digest = digest_of(cookie)
        kept = None if digest is None else self._kept.get(digest)
        if digest is None or kept is None or kept.host != host:
            return None
        return self._kept.pop(digest)

    def forget_user(self, user: str) -> None:
        """The sessions of ``user`` were ended by an operator."""
        for digest in [digest for digest, former in self._kept.items() if former.user.name == user]:
            del self._kept[digest]

    def expire(self, now: float) -> None:
        if now < self._soonest:
            return
        for digest in [digest for digest, former in self._kept.items() if former.until <= now]:
            del self._kept[digest]
        self._soonest = min((former.until for former in self._kept.values()), default=math.inf)
