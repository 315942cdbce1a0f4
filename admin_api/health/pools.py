# SPDX-License-Identifier: GPL-3.0-or-later
"""How full the pools of inner addresses are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vpn_frontend.ports import SessionView
    from vpn_frontend.settings import Network

RESERVED = 3  # addresses of a pool: the network's, the server's, the last one
MAX_CAPACITY = 2**53  # a larger number has no exact floating-point value


class PoolUse(NamedTuple):
    """``addresses``: for clients, at most ``MAX_CAPACITY``. ``used``: those that sessions have."""

    network: Network
    addresses: int
    used: int


def count_pools(pools: Sequence[Network], views: Sequence[SessionView]) -> list[PoolUse]:
    """Returns the use of each pool by live sessions."""
    inner = [address for view in views for address in (view.ipv4, view.ipv6) if address is not None]
    return [
        PoolUse(
            pool, min(max(0, pool.num_addresses - RESERVED), MAX_CAPACITY), sum(address in pool for address in inner)
        )
        for pool in pools
    ]
