# SPDX-License-Identifier: GPL-3.0-or-later
"""What accounting servers still have to be told, kept on disk by a higher layer. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from ipaddress import IPv4Address, IPv6Address

    from vpn_frontend.gateway.interface import Counters
    from vpn_frontend.ports import CloseReason
    from vpn_frontend.settings import Address


@dataclass(frozen=True, slots=True)
class AccountedSession:
    """One session as accounting servers are told of it. Times are aware. ``end_reason`` is set with ``ended_at``."""

    id: str
    name: str  # of the user, as the servers spell it
    classes: tuple[bytes, ...]
    by_radius: bool  # RADIUS authenticated the user
    interim: int  # seconds between two updates, as a server wants it; 0: as configured
    address: Address
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None
    started_at: datetime
    counters: Counters
    start_told: bool = False
    ended_at: datetime | None = None
    end_reason: CloseReason | None = None


class AccountingLedger(Protocol):
    """The sessions whose start or end accounting servers do not know yet."""

    def watch(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` whenever sessions may have become due."""

    async def due(self, limit: int) -> Sequence[AccountedSession]:
        """At most ``limit`` sessions of which something is untold, the oldest first."""

    async def open_told(self) -> Sequence[AccountedSession]:
        """Open sessions whose start was told. Asked once, for those of a former process."""

    async def mark_told(self, *, started: Sequence[str], ended: Sequence[str]) -> None:
        """A server has taken the start, or the end, of these sessions. They are not told again."""

    async def drop_older_than(self, oldest: datetime) -> int:
        """Give up sessions that ended before ``oldest``. Returns how many."""
