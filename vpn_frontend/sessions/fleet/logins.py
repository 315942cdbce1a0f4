# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins without a tunnel, which a client may take to another node: kept for the others, and made sessions of here.

The cookie proves a login and names its user. All that binds it and forms its session is in the document that goes with
it through the database: the client's certificate and keys, its address, what an outside server said of the user.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING

from vpn_frontend.ports import NO_DEVICE, Device, RemoteLogin, UserRecord
from vpn_frontend.sessions.admission import CookieError
from vpn_frontend.sessions.fleet.port import KeptLogin, unpack_id
from vpn_frontend.sessions.persistence.plain_values import from_plain, to_plain
from vpn_frontend.sessions.records.recent_disconnects import FormerSession
from vpn_frontend.sessions.session import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vpn_frontend.sessions.closing import SessionCloser
    from vpn_frontend.sessions.effective_settings import SettingsResolver
    from vpn_frontend.sessions.fleet.port import Claim, Fleet
    from vpn_frontend.sessions.index import SessionIndex
    from vpn_frontend.sessions.pending_logins import PendingLogins
    from vpn_frontend.sessions.sealed_cookies import SealedLogin
    from vpn_frontend.sessions.session import Session

VERSION = 1
MAX_DOCUMENT = 1 << 16  # characters; a login with more opens its tunnel at its node alone
_encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps makes an encoder for each call


class FleetLogins:
    """Works on the same parts as the session table."""

    def __init__(
        self,
        fleet: Fleet,
        index: SessionIndex,
        closer: SessionCloser,
        pending: PendingLogins,
        resolver: SettingsResolver,
        numbers: Iterator[int],
        wall_clock: Callable[[], datetime],
    ) -> None:
        """``numbers``: of new sessions."""
        self._fleet = fleet
        self._index = index
        self._closer = closer
        self._pending = pending
        self._resolver = resolver
        self._numbers = numbers
        self._wall_clock = wall_clock

    def keep(self, session: Session) -> None:
        """Let the other nodes have a new login, unless what it holds cannot be written."""
        try:
            document = render_login(session)
        except TypeError:
            return
        if len(document) <= MAX_DOCUMENT:
            timeout = session.settings.session.cookie_timeout
            self._fleet.keep_login(KeptLogin(session.id, session.user.name, session.digest, document, timeout))

    def adopt(self, login: SealedLogin, digest: bytes, claim: Claim, now: float) -> Session:
        """Make a session of a login that another node has taken. Raises ``CookieError`` or ``RefusedError``."""
        session_id = unpack_id(login.session)
        session = self._index.find_by_id(session_id)
        if session is None:
            session = self._make(session_id, read_login(login, digest, claim, now), now)
        elif session.phase is not Phase.WAITING:
            raise CookieError
        session.attempts = max(session.attempts, claim.generation)
        return session

    def _make(self, session_id: str, former: FormerSession, now: float) -> Session:
        self._closer.make_room(former.user.name, now)
        settings = self._resolver.resolve(former.user, former.groups, former.remote, former.host)
        session = former.revive(settings, next(self._numbers), now, self._wall_clock(), session_id)
        session.expires_at = former.login_at + settings.session.cookie_timeout
        self._index.restore_session(session)
        self._pending.add_login(session)
        return session


def render_login(session: Session) -> str:
    """Raises ``TypeError`` for values that cannot be written."""
    user = session.user
    document = {
        "version": VERSION,
        "logged_in_at": session.logged_in_at.isoformat(),
        "user_agent": session.user_agent,
        "groups": session.groups,
        "user_groups": user.groups,
        "certificate_digest": session.certificate_digest.hex(),
        "strap_keys": [key.hex() for key in session.strap_keys],
        "login_address": None if session.login_address is None else str(session.login_address),
    }
    if user.external or user.file_layers:
        document["record"] = to_plain(replace(user, password_hash=None))
    if session.remote is not None:
        document["remote"] = to_plain(session.remote)
    if session.device != NO_DEVICE:
        document["device"] = to_plain(session.device)
    return _encode(document)


def read_login(login: SealedLogin, digest: bytes, claim: Claim, now: float) -> FormerSession:
    """Raises ``CookieError`` for a document of another version, or another user than the cookie's."""
    try:
        document = json.loads(claim.login)
        if document["version"] != VERSION:
            raise CookieError("session_unknown")
        address, groups = document["login_address"], tuple(map(str, document["groups"]))
        user = from_plain(document.get("record")) or UserRecord(login.user, groups=tuple(document["user_groups"]))
        former = FormerSession(
            user=user,
            groups=groups,
            device=from_plain(document.get("device")) or NO_DEVICE,
            login_at=now - claim.age,
            logged_in_at=datetime.fromisoformat(document["logged_in_at"]),
            user_agent=str(document["user_agent"]),
            remote=from_plain(document.get("remote")),
            login_address=None if address is None else ip_address(address),
            digest=digest,
            certificate_digest=bytes.fromhex(document["certificate_digest"]),
            host=login.host,
            strap_keys=tuple(map(bytes.fromhex, document["strap_keys"])),
            until=now,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CookieError("session_unknown") from error
    known = isinstance(former.user, UserRecord) and former.user.name == login.user
    if not known or not isinstance(former.device, Device) or not isinstance(former.remote, RemoteLogin | None):
        raise CookieError("session_unknown")
    return former
