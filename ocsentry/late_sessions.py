# SPDX-License-Identifier: GPL-3.0-or-later
"""The VPN's sessions for the API, also before the VPN has started.

The policy with all stored blocks must be in force before the first client is accepted. Enforcement therefore starts
before the VPN, and finds no sessions until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpn_frontend.ports import NO_TRAFFIC, CloseReason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from admin_api.ports import LiveSessions
    from vpn_frontend.ports import SessionStatistics, SessionView, Traffic, UserRecord, WaitingLogin
    from vpn_frontend.settings import Network, Overrides

    Views = Sequence[SessionView]


class LateSessions:
    """``LiveSessions`` without sessions until ``attach``."""

    def __init__(self) -> None:
        self._sessions: LiveSessions | None = None

    def attach(self, sessions: LiveSessions) -> None:
        self._sessions = sessions

    def list(self) -> Views:
        return () if self._sessions is None else self._sessions.list()

    def traffic(self) -> Traffic:
        return NO_TRAFFIC if self._sessions is None else self._sessions.traffic()

    def get(self, session_id: str) -> SessionView | None:
        return None if self._sessions is None else self._sessions.get(session_id)

    def kill(self, session_id: str, text: str, *, reason: CloseReason = CloseReason.KILLED) -> bool:
        return False if self._sessions is None else self._sessions.kill(session_id, text, reason=reason)

    def disconnect(self, session_id: str, text: str, now: float) -> bool:
        return False if self._sessions is None else self._sessions.disconnect(session_id, text, now)

    def waiting_logins(self) -> Sequence[WaitingLogin]:
        return () if self._sessions is None else self._sessions.waiting_logins()

    def statistics(self) -> SessionStatistics | None:
        return None if self._sessions is None else self._sessions.statistics()

    def reset_statistics(self) -> None:
        if self._sessions is not None:
            self._sessions.reset_statistics()

    def kill_user(self, user: str, text: str) -> int:
        return 0 if self._sessions is None else self._sessions.kill_user(user, text)

    def change_user(self, before: UserRecord, after: UserRecord, *, dry_run: bool = False) -> Views:
        return () if self._sessions is None else self._sessions.change_user(before, after, dry_run=dry_run)

    def change_groups(self, groups: Mapping[str, Overrides], *, dry_run: bool = False) -> Views:
        return () if self._sessions is None else self._sessions.change_groups(groups, dry_run=dry_run)

    async def reassess(self, now: float | None = None) -> Views:
        return () if self._sessions is None else await self._sessions.reassess(now)

    def affected_by(self, network: Network) -> Views:
        return () if self._sessions is None else self._sessions.affected_by(network)
