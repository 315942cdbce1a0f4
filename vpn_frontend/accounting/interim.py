# SPDX-License-Identifier: GPL-3.0-or-later
"""When each session's next update is due. Pure.

Intervals vary by a tenth, so that sessions that began together do not stay together (RFC 2869 2.1).
"""

from __future__ import annotations

from dataclasses import replace
from random import SystemRandom
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vpn_frontend.accounting.ledger import AccountedSession
    from vpn_frontend.ports import SessionView

JITTER = 0.1
MIN_INTERIM = 60  # seconds, RFC 2869 5.16
_random = SystemRandom()


class InterimSchedule:
    """Sessions whose start was told. ``interval``: seconds, where a session has none of its own; 0: no updates.

    Another ``interval`` holds from a session's next update on, and for sessions to come.
    """

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self._due: dict[str, tuple[float, AccountedSession]] = {}

    def __len__(self) -> int:
        return len(self._due)

    def add_session(self, session: AccountedSession, now: float) -> None:
        interval = self._interval_of(session)
        if interval and session.id not in self._due:
            self._due[session.id] = (now + interval * _random.uniform(1 - JITTER, 1 + JITTER), session)

    def _interval_of(self, session: AccountedSession) -> int:
        """A server's wish, but not below the RFC's bound, unless the configuration itself is shorter."""
        if not session.interim:
            return self.interval
        return max(session.interim, min(self.interval or MIN_INTERIM, MIN_INTERIM))

    def remove_session(self, session_id: str) -> None:
        self._due.pop(session_id, None)

    def clear(self) -> None:
        self._due.clear()

    def take_due(self, now: float) -> list[AccountedSession]:
        """The sessions whose update is due. Their next one is an interval later."""
        due = [session for at, session in self._due.values() if at <= now]
        for session in due:
            self.remove_session(session.id)
            self.add_session(session, now)
        return due

    @staticmethod
    def with_view(session: AccountedSession, view: SessionView) -> AccountedSession:
        """The session with its counters and address of this moment."""
        return replace(session, counters=view.counters, address=view.address)
