# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts of logins and sessions: since the start, and of the present period. A period ends after a week, or by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.ports import CloseReason, SessionStatistics

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from vpn_frontend.sessions.session import Session

PERIOD = timedelta(days=7)


@dataclass(slots=True)
class _Period:
    ended: int = 0
    timed_out: int = 0
    idle: int = 0
    failed: int = 0
    refused_logins: int = 0
    logins: int = 0
    login_seconds: float = 0.0
    longest_login: float = 0.0
    session_seconds: float = 0.0
    longest_session: float = 0.0
    min_mtu: int = 0
    max_mtu: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0


class StatisticsCounter:
    """``wall_clock`` returns aware times."""

    def __init__(self, wall_clock: Callable[[], datetime]) -> None:
        self._wall_clock = wall_clock
        self._sessions = 0
        self._refused_logins = 0
        self._since = wall_clock()
        self._period = _Period()

    def login_accepted(self, seconds: float) -> None:
        """``seconds``: from the connection to the answer."""
        period = self._present()
        period.logins += 1
        period.login_seconds += seconds
        period.longest_login = max(period.longest_login, seconds)

    def login_refused(self) -> None:
        self._refused_logins += 1
        self._present().refused_logins += 1

    def session_opened(self) -> None:
        self._sessions += 1

    def session_ended(self, session: Session) -> int:
        """Returns how many seconds it lasted."""
        now = self._wall_clock()
        period = self._present(now)
        seconds = max(0.0, (now - session.started_at).total_seconds())
        period.ended += 1
        period.timed_out += session.close_reason is CloseReason.SESSION_TIMEOUT
        period.idle += session.close_reason is CloseReason.IDLE_TIMEOUT
        period.failed += session.close_reason in (CloseReason.FAILED, CloseReason.CONNECTION_LOST)
        period.session_seconds += seconds
        period.longest_session = max(period.longest_session, seconds)
        period.min_mtu = min(period.min_mtu or session.mtu, session.mtu)
        period.max_mtu = max(period.max_mtu, session.mtu)
        period.rx_bytes += session.counters.rx_bytes
        period.tx_bytes += session.counters.tx_bytes
        return int(seconds)

    def reset(self) -> None:
        """Begin another period."""
        self._since, self._period = self._wall_clock(), _Period()

    def snapshot(self) -> SessionStatistics:
        period = self._present()
        return SessionStatistics(
            sessions=self._sessions,
            refused_logins=self._refused_logins,
            since=self._since,
            ended=period.ended,
            timed_out=period.timed_out,
            idle=period.idle,
            failed=period.failed,
            refused_logins_in_period=period.refused_logins,
            average_login=period.login_seconds / max(1, period.logins),
            longest_login=period.longest_login,
            average_session=period.session_seconds / max(1, period.ended),
            longest_session=period.longest_session,
            min_mtu=period.min_mtu,
            max_mtu=period.max_mtu,
            rx_bytes=period.rx_bytes,
            tx_bytes=period.tx_bytes,
        )

    def _present(self, now: datetime | None = None) -> _Period:
        if (self._wall_clock() if now is None else now) - self._since >= PERIOD:
            self.reset()
        return self._period
