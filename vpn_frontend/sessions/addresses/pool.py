# SPDX-License-Identifier: GPL-3.0-or-later
"""One pool of inner addresses, in constant time per address.

It holds a mark below which every address has been used, and the set of addresses in use. It also holds the free
addresses below the mark, the longest unused first. So an address rests as long as possible before another user gets it.
A user who returns gets the same address unless it is in use. Of a large pool (an IPv6 /64) at most ``MAX_RESTING``
rest, then the longest unused is given out. Never given out: the network's first address, the server's (the second), the
last.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Generic, TypeVar

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from vpn_frontend.settings import Address

AddressT = TypeVar("AddressT", IPv4Address, IPv6Address)

MAX_REMEMBERED = 65_536  # users per pool whose last address is kept; the longest absent are dropped first
MAX_RESTING = 65_536  # used and free addresses per pool; bounds the memory for a /64
SERVER_OFFSET = 1
FIRST_CLIENT_OFFSET = 2


class NoAddressError(Exception):
    """No address can be given. The text is for the user."""


@dataclass(frozen=True, slots=True)
class InnerAddresses:
    """What one session holds. ``None``: no address of that family."""

    ipv4: IPv4Address | None
    ipv6: IPv6Address | None


class AddressPool(Generic[AddressT]):
    """The addresses of one network."""

    def __init__(self, network: IPv4Network | IPv6Network) -> None:
        self._network = network
        self._version = network.version
        self._kind = IPv4Address if self._version == 4 else IPv6Address
        self._first = int(network.network_address)
        self._end = network.num_addresses - 1  # the last address is the broadcast's (in IPv6 an anycast's, RFC 2526)
        self._mark = FIRST_CLIENT_OFFSET
        self._used: set[int] = set()
        self._free: OrderedDict[int, None] = OrderedDict()
        self._remembered: OrderedDict[str, int] = OrderedDict()

    @property
    def network(self) -> IPv4Network | IPv6Network:
        return self._network

    @property
    def server(self) -> AddressT:
        return self._address(SERVER_OFFSET)

    @property
    def capacity(self) -> int:
        return max(0, self._end - FIRST_CLIENT_OFFSET)

    @property
    def used(self) -> int:
        return len(self._used)

    def holds(self, address: Address) -> bool:
        """True if its network has the address."""
        return isinstance(address, self._kind) and 0 <= int(address) - self._first <= self._end

    def take(self, user: str) -> AddressT:
        """An address for ``user``: its last one if that is free. Raises ``NoAddressError`` when all are in use."""
        offset = self._remembered.get(user)
        if offset is None or offset in self._used:
            offset = self._next_free()
        self._occupy(user, offset)
        return self._address(offset)

    def claim(self, user: str, address: AddressT) -> AddressT:
        """Occupy a static address. Raises ``NoAddressError`` if it is in use or outside the pool."""
        offset = int(address) - self._first
        if address.version != self._version or not FIRST_CLIENT_OFFSET <= offset < self._end:
            raise NoAddressError(f"the fixed address {address} is none that the pool {self._network} gives to clients")
        if offset in self._used:
            raise NoAddressError(f"the fixed address {address} is in use")
        self._occupy(user, offset)
        return address

    def give_back(self, address: AddressT) -> None:
        """Raises ``KeyError`` if ``address`` is not in use."""
        offset = int(address) - self._first
        self._used.remove(offset)
        if offset < self._mark:
            self._free[offset] = None

    def _next_free(self) -> int:
        while self._mark < self._end and len(self._free) < MAX_RESTING:
            offset = self._mark
            self._mark += 1
            if offset not in self._used:
                return offset
        if not self._free:
            raise NoAddressError("no free address is left")
        return next(iter(self._free))

    def _occupy(self, user: str, offset: int) -> None:
        self._free.pop(offset, None)
        self._used.add(offset)
        self._remembered[user] = offset
        self._remembered.move_to_end(user)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def _address(self, offset: int) -> AddressT:
        return self._kind(self._first + offset)  # type: ignore[return-value]  # of the network's version
