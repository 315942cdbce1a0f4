# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of clients that are in none of the server's pools: fixed ones of users, and pools of their files.

Each has a route of the kernel of its own. The server itself has no address in such a pool.

No two sessions have one address. What else is routed to a client, a network behind it, is in
``vpn_frontend.sessions.iroutes``, which refuses a network that holds another user's address, and the other way round.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

from vpn_frontend.sessions.addresses.pool import NoAddressError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from vpn_frontend.ports import ClientRoutes
    from vpn_frontend.settings import Address, Network


MAX_POOLS = 4096


class OutsideAddresses:
    """At most two for each session, so the limit of sessions bounds them; and ``MAX_POOLS`` pools."""

    def __init__(self, within: Iterable[Network], kernel: ClientRoutes | None = None) -> None:
        """``within``: where such an address may be. ``kernel`` routes it to us."""
        self._within = tuple(within)
        self._kernel = kernel
        self._users: dict[Address, str] = {}
        self._pools: set[Network] = set()

    def __len__(self) -> int:
        return len(self._users) + len(self._pools)

    def claim(self, user: str, address: Address) -> None:
        """Raises ``NoAddressError`` if a session has it, or no client may."""
        if address in self._users:
            raise NoAddressError(f"the fixed address {address} is in use")
        if address.is_multicast or address.is_loopback or address.is_link_local or address.is_unspecified:
            raise NoAddressError(f"the fixed address {address} is none that a client can have")
        if not any(address in network for network in self._within):
            raise NoAddressError(f"the fixed address {address} is in no pool and not inside vpn.addresses_within")
        if self._kernel is not None and self._kernel.is_local(address):
            raise NoAddressError(f"the fixed address {address} is one of this server's host")
        self._users[address] = user
        if self._kernel is not None:
            self._kernel.add(ip_network(address))

    def release(self, address: Address) -> None:
        """Raises ``KeyError`` if no session has it."""
        del self._users[address]
        if self._kernel is not None:
            self._kernel.remove(ip_network(address))

    def open_pool(self, network: Network, others: Collection[Network]) -> None:
        """Route a pool to us that is none of ``others``, the pools that there are. Raises ``NoAddressError``."""
        if network.is_multicast or network.is_loopback or network.is_link_local or network.prefixlen == 0:
            raise NoAddressError(f"the pool {network} is not for clients")
        if not any(network.version == outer.version and network.subnet_of(outer) for outer in self._within):  # type: ignore[arg-type]
            raise NoAddressError(f"this server has no pool {network}, and it is not inside vpn.addresses_within")
        other = next((other for other in others if _overlap(other, network)), None)
        if other is not None:
            raise NoAddressError(f"the pool {network} overlaps with the pool {other}")
        if any(address in network for address in self._users):
            raise NoAddressError(f"a fixed address of a user is in the pool {network}")
        if len(self._pools) >= MAX_POOLS:
            raise NoAddressError(f"this server has {MAX_POOLS} pools of users already")
        self._pools.add(network)
        if self._kernel is not None:
            self._kernel.add(network)

    def close_pool(self, network: Network) -> None:
        """Raises ``KeyError`` if it is not open."""
        self._pools.remove(network)
        if self._kernel is not None:
            self._kernel.remove(network)

    def find_other(self, network: Network, user: str) -> Address | None:
        """An address inside ``network`` of another user than ``user``, or the first of a pool that overlaps with it."""
        pool = next((pool for pool in self._pools if _overlap(pool, network)), None)
        if pool is not None:
            return pool.network_address
        others = (address for address, owner in self._users.items() if owner != user)
        return next((address for address in others if address in network), None)


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
