# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's part of a pool that the nodes of a fleet share: the addresses that were lent to this node, one by one.

The fleet's own book says whose an address is. Here only lent addresses are given out, and one that is forgotten is not
given out again before the fleet says that it is still this node's.

Where addresses are routed, one that a session has is a route of the kernel, as long as this node has the session: a
routing daemon tells the network about it, and the longest prefix wins over what another node announced before.
"""

from __future__ import annotations

from functools import partial
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from vpn_frontend.sessions.addresses.pool import AddressPool, AddressT, NoAddressError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vpn_frontend.ports import ClientRoutes
    from vpn_frontend.sessions.fleet.port import Fleet

MAX_BATCH = 64  # addresses that are lent at once
SHARE = 512  # a batch is this part of the pool: of a small one, each address is lent and handed back singly


class LentPool(AddressPool[AddressT]):
    """As ``AddressPool``, but empty until ``add``."""

    def __init__(self, network: Any, routes: ClientRoutes | None = None) -> None:  # noqa: ANN401 - of either family
        """``routes``: each address in use is routed to us."""
        super().__init__(network)
        self._routes = routes

    @property
    def batch(self) -> int:
        return max(1, min(MAX_BATCH, self.capacity // SHARE))

    @property
    def free(self) -> int:
        return len(self._free)

    def has_free(self, address: AddressT) -> bool:
        return int(address) - self._first in self._free

    def add(self, addresses: Iterable[AddressT]) -> None:
        """They were lent to this node. Idempotent."""
        for address in addresses:
            offset = int(address) - self._first
            if offset not in self._used:
                self._free[offset] = None

    def own_only(self, addresses: Iterable[AddressT]) -> None:
        """These are all that the node has: others are not given out any more."""
        self._free.clear()
        self.add(addresses)

    def forget(self, address: AddressT) -> None:
        """Give it back, and not out again: it may be another node's. Raises ``KeyError`` if it is not in use."""
        self._used.remove(int(address) - self._first)
        if self._routes is not None:
            self._routes.remove(ip_network(address))

    def take_surplus(self, *, everything: bool = False) -> Sequence[AddressT]:
        """Free addresses that are more than a reserve, the longest unused first. They are not given out any more."""
        keep = 0 if everything or self.batch == 1 else 2 * self.batch
        count = max(0, len(self._free) - keep)
        return [self._address(self._free.popitem(last=False)[0]) for _ in range(count)]

    def take(self, user: str) -> AddressT:
        offset = self._remembered.get(user)
        if offset is None or offset not in self._free:
            offset = self._next_free()
        self._occupy(user, offset)
        return self._address(offset)

    def claim(self, user: str, address: AddressT) -> AddressT:
        if not self.has_free(address):
            raise NoAddressError(f"the fixed address {address} is in use, or of another node")
        self._occupy(user, int(address) - self._first)
        return address

    def give_back(self, address: AddressT) -> None:
        self.forget(address)
        self._free[int(address) - self._first] = None

    def _occupy(self, user: str, offset: int) -> None:
        super()._occupy(user, offset)
        if self._routes is not None:
            self._routes.add(ip_network(self._address(offset)))

    def _next_free(self) -> int:
        if not self._free:
            raise NoAddressError("no free address is left")
        return next(iter(self._free))


def pool_type(fleet: Fleet | None, routes: ClientRoutes | None) -> Callable[[Any], AddressPool[Any]]:
    """What makes the pools of this server."""
    if fleet is None:
        return AddressPool
    return partial(LentPool[Any], routes=routes if fleet.routed else None)
