# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of users in the present day and month, both ways together, for their quotas.

Counted are sessions with a quota, by what their counters grew. Days and months are those of the server's time zone.
The journal keeps the same sums (``SessionJournal``), from which this starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpn_frontend.ports import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from vpn_frontend.gateway.interface import Counters
    from vpn_frontend.sessions.session import Session
    from vpn_frontend.settings import QuotaSettings


class UsageLedger:
    """One entry for each user that sent something under a quota this month."""

    def __init__(self, today: date, so_far: Mapping[str, Usage] | None = None) -> None:
        self.today = today
        self._by_user = {name: Usage(usage.day, usage.month) for name, usage in (so_far or {}).items()}

    def of(self, user: str) -> Usage:
        """What is accounted for. ``account_session`` first adds what live sessions moved since."""
        return self._by_user.get(user) or Usage()

    def left(self, user: str, quota: QuotaSettings) -> int | None:
        """Bytes until a quota is used up, possibly below 0. ``None``: there is none."""
        if not (quota.day or quota.month):
            return None
        used = self.of(user)
        lefts = [limit - so_far for limit, so_far in ((quota.day, used.day), (quota.month, used.month)) if limit]
        return min(lefts) if lefts else None

    def account_session(self, session: Session, counters: Counters) -> None:
        """Add what the session moved since the last call, if it has a quota."""
        total = counters.rx_bytes + counters.tx_bytes
        moved, session.accounted_bytes = total - session.accounted_bytes, total
        if moved > 0 and session.metered:
            usage = self._by_user.setdefault(session.user.name, Usage())
            usage.day += moved
            usage.month += moved

    def turn_to(self, today: date) -> None:
        """Begin another day, possibly in another month."""
        same_month = (today.year, today.month) == (self.today.year, self.today.month)
        self.today = today
        if same_month:
            for usage in self._by_user.values():
                usage.day = 0
        else:
            self._by_user.clear()


def local_day(moment: datetime) -> date:
    """The day of an aware time in the server's time zone."""
    return moment.astimezone().date()
