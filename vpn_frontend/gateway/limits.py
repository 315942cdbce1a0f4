# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of a session that the gateway enforces per packet: what a client may reach, how fast, and how much.

``native/limits/`` implements them. Sizes are bytes of inner packets, rates are bytes per second.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from sentry_engine.records import dataclass
from vpn_frontend.settings import MAX_PORT

if TYPE_CHECKING:
    from vpn_frontend.settings import Network

MAX_BUDGETS = 2  # of a session: its own, and one that it shares with other sessions of its user


class IpProtocol(IntEnum):
    """Protocols that a restriction can name, by their numbers."""

    ICMP = 1
    TCP = 6
    UDP = 17
    ESP = 50
    ICMPV6 = 58
    SCTP = 132


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports of a protocol, both ends included. A protocol without ports, such as ICMP, keeps the defaults."""

    protocol: IpProtocol
    first: int = 0
    last: int = MAX_PORT


@dataclass(frozen=True, slots=True)
class Restriction:
    """What a client may reach. Sessions with equal restrictions share one native object.

    ``networks`` less ``except_networks`` are the permitted peers; ``None`` means every address but the excepted ones.
    ``ports`` of peers are the only ones permitted, or with ``all_but_ports`` the only ones refused. ``None``: any.
    """

    networks: tuple[Network, ...] | None = None
    except_networks: tuple[Network, ...] = ()
    ports: tuple[PortRange, ...] | None = None
    all_but_ports: bool = False


class Budget(Protocol):
    """Bandwidth and volume of one session, or shared by several. Changes take effect at once in all of them."""

    def set_rates(self, from_client: int, to_client: int) -> None:
        """Police each direction to this rate; 0: no limit. The bucket holds a quarter of a second, at least 64 KiB."""

    def set_quota(self, left: int | None) -> None:
        """Let this many bytes pass, both directions together, then none. ``None``: no limit.

        The first packet that is dropped for it causes one ``QuotaExceeded``, and another after the next call.
        """

    def quota_left(self) -> int | None:
        """Bytes left, 0 if none is. ``None``: no limit."""


@dataclass(frozen=True, slots=True)
class TunnelLimits:
    """All limits of a session. A packet must pass the restriction and every budget, at most ``MAX_BUDGETS``."""

    restriction: Restriction | None = None
    budgets: tuple[Budget, ...] = ()


NO_LIMITS = TunnelLimits()
