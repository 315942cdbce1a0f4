# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins that have no tunnel yet: one bounded room for all, in which nobody is turned out before it is full.

One account may be used by hundreds of devices that log in within a second, so that there is no bound per user as long
as there is room. In a full room the user with the most logins gives up its oldest one: whoever floods it with one
password pays for that with logins of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpn_frontend.sessions.admission import RefusedError

if TYPE_CHECKING:
    from vpn_frontend.sessions.session import Session

MAX_WAITING = 8192  # logins, about 1 KB each; each leaves with its tunnel or its cookie's time


class WaitingRoom:
    def __init__(self) -> None:
        self._by_user: dict[str, dict[str, Session]] = {}  # each user's by id, oldest first
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def who_leaves_for(self, user: str) -> Session | None:
        """Whose login has to end before one more of ``user`` may wait; ``None``: there is room.

        Raises ``RefusedError`` when every place is another user's only one.
        """
        if self._count < MAX_WAITING:
            return None
        own = self._by_user.get(user, {})
        most = max(self._by_user.values(), key=len)
        if len(most) <= len(own) + 1:
            most = own
        if not most:
            raise RefusedError("Too many logins are under way. Please try again.", "too_many_logins")
        return next(iter(most.values()))

    def enter(self, session: Session) -> None:
        self._by_user.setdefault(session.user.name, {})[session.id] = session
        self._count += 1

    def leave(self, session: Session) -> None:
        """Idempotent."""
        own = self._by_user.get(session.user.name, {})
        if own.pop(session.id, None) is None:
            return
        self._count -= 1
        if not own:
            del self._by_user[session.user.name]
