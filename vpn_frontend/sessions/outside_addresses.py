# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixed addresses of users that are in none of the server's pools, each with a route of the kernel of its own.

No two sessions have one address. What else is routed to a client, a network behind it, is in
``vpn_frontend.sessions.iroutes``, which refuses a network that holds another user's address, and the other way round.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

from vpn_frontend.sessions.address_pool import NoAddressError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vpn_frontend.ports import ClientRoutes
    from vpn_frontend.settings import Address, Network


class OutsideAddresses:
    """At most two for each session, so the limit of sessions bounds them."""

    def __init__(self, within: Iterable[Network], kernel: ClientRoutes | None = None) -> None:
        """``within``: where such an address may be. ``kernel`` routes it to us."""
        self._within = tuple(within)
        self._kernel = kernel
        self._users: dict[Address, str] = {}

    def __len__(self) -> int:
        return len(self._users)

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

    def find_other(self, network: Network, user: str) -> Address | None:
        """An address inside ``network`` of another user than ``user``."""
        others = (address for address, owner in self._users.items() if owner != user)
        return next((address for address in others if address in network), None)
