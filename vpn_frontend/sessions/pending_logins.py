# SPDX-License-Identifier: GPL-3.0-or-later
"""Authenticated sessions waiting for CONNECT, at most 8192. When full, the user with the most loses the oldest.

There is no bound per user: one account may serve hundreds of devices that log in within a second. A client that floods
the table with one password loses logins of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpn_frontend.sessions.admission import RefusedError

if TYPE_CHECKING:
    from vpn_frontend.sessions.session import Session

MAX_PENDING = 8192  # logins of about 1 KB


class PendingLogins:
    def __init__(self) -> None:
        self._by_user: dict[str, dict[str, Session]] = {}  # by id, oldest first
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find_evicted(self, user: str) -> Session | None:
        """The login that one more of ``user`` evicts. ``None``: there is room.

        Raises ``RefusedError`` if every pending login is the only one of another user.
        """
        if self._count < MAX_PENDING:
            return None
        own = self._by_user.get(user, {})
        most = max(self._by_user.values(), key=len)
        if len(most) <= len(own) + 1:
            most = own
        if not most:
            raise RefusedError("Too many logins are under way. Please try again.", "too_many_logins")
        return next(iter(most.values()))

    def add_login(self, session: Session) -> None:
        self._by_user.setdefault(session.user.name, {})[session.id] = session
        self._count += 1

    def remove_login(self, session: Session) -> None:
        """Idempotent."""
        own = self._by_user.get(session.user.name, {})
        if own.pop(session.id, None) is None:
            return
        self._count -= 1
        if not own:
            del self._by_user[session.user.name]
