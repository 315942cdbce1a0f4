# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions by id, user, cookie, gateway id, connection and deadline. The fields that an index follows change here only.

Settings and the phase change elsewhere, with a call of ``reschedule``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine.deadlines import Deadlines
from vpn_frontend.sessions.cookies import CookieJar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vpn_frontend.sessions.session import Session


class SessionIndex:
    """Every session that is not ``CLOSED``."""

    def __init__(self) -> None:
        self._by_id: dict[str, Session] = {}  # in the order of login
        self._by_user: dict[str, dict[str, Session]] = {}
        self._by_cookie: CookieJar[Session] = CookieJar()
        self._by_gateway_id: dict[int, Session] = {}
        self._by_connection: dict[int, Session] = {}
        self._due = Deadlines()  # on the monotonic clock; by id, as the next
        self._checks = Deadlines()  # in Unix time

    def seal_cookies(self, seal: Callable[[Session], str]) -> None:
        """Cookies to come are made by ``seal``. Requires an empty index."""
        self._by_cookie = CookieJar(seal)

    @property
    def tunnel_count(self) -> int:
        """Sessions that the gateway holds, those that are closing too."""
        return len(self._by_gateway_id)

    def is_empty(self) -> bool:
        tables = (self._by_id, self._by_user, self._by_cookie, self._by_gateway_id, self._by_connection)
        return not any(len(table) for table in tables)

    def __iter__(self) -> Iterator[Session]:
        """Iterate over a copy in the order of login: sessions may be removed meanwhile."""
        return iter([*self._by_id.values()])

    def open_sessions(self) -> list[Session]:
        """Those with a tunnel, in the order of login."""
        return [session for session in self._by_id.values() if session.has_tunnel]

    def find_by_id(self, session_id: str) -> Session | None:
        return self._by_id.get(session_id)

    def find_by_user(self, user: str) -> list[Session]:
        """In the order of login."""
        return [*self._by_user.get(user, {}).values()]

    def find_by_cookie(self, cookie: str) -> Session | None:
        return self._by_cookie.find(cookie)

    def find_by_gateway_id(self, gateway_id: int) -> Session | None:
        return self._by_gateway_id.get(gateway_id)

    def find_by_connection(self, connection_id: int) -> Session | None:
        """The session whose channel the connection is or becomes."""
        return self._by_connection.get(connection_id)

    def add_session(self, session: Session) -> str:
        """Returns the cookie for the client."""
        cookie, session.digest = self._by_cookie.issue(session)
        self._add(session)
        return cookie

    def restore_session(self, session: Session) -> None:
        """Add a session whose client has a cookie already: that of ``digest``."""
        self._by_cookie.restore(session.digest, session)
        self._add(session)

    def _add(self, session: Session) -> None:
        self._by_id[session.id] = session
        self._by_user.setdefault(session.user.name, {})[session.id] = session
        self.reschedule(session)

    def revoke_cookie(self, session: Session) -> None:
        self._by_cookie.revoke(session.digest)

    def set_gateway_id(self, session: Session, gateway_id: int) -> None:
        session.gateway_id = gateway_id
        self._by_gateway_id[gateway_id] = session

    def set_connection(self, session: Session, connection_id: int | None) -> None:
        """``None``: the session has no channel."""
        if session.connection_id is not None:
            self._by_connection.pop(session.connection_id, None)
        session.connection_id = connection_id
        if connection_id is not None:
            self._by_connection[connection_id] = session

    def set_expiry(self, session: Session, moment: float | None) -> None:
        """When the session ends if it has no channel by then. ``None``: it has one."""
        session.expires_at = moment
        self.reschedule(session)

    def reschedule(self, session: Session) -> None:
        """To be called when what ``session.due_at`` or ``session.check_at`` says may have changed."""
        self._due.set_deadline(session.id, session.due_at)
        self._checks.set_deadline(session.id, session.check_at)

    def due_sessions(self, now: float) -> list[Session]:
        """Sessions whose time may be over, soonest first. They stay due until they are rescheduled or removed."""
        return [self._by_id[session_id] for session_id in self._due.due_names(now)]

    def due_checks(self, wall: float) -> list[Session]:
        """The same of schedules and ends, which are in Unix time."""
        return [self._by_id[session_id] for session_id in self._checks.due_names(wall)]

    def remove_session(self, session: Session) -> None:
        """Requires a session without cookie and connection."""
        self._due.set_deadline(session.id, None)
        self._checks.set_deadline(session.id, None)
        del self._by_id[session.id]
        siblings = self._by_user[session.user.name]
        del siblings[session.id]
        if not siblings:
            del self._by_user[session.user.name]
        if session.gateway_id is not None:
            self._by_gateway_id.pop(session.gateway_id, None)
