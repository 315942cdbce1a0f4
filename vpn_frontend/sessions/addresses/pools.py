# SPDX-License-Identifier: GPL-3.0-or-later
"""All pools of inner addresses of a server, and the addresses of one session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from vpn_frontend.sessions.addresses.pool import AddressPool, InnerAddresses, NoAddressError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from vpn_frontend.sessions.addresses.outside import OutsideAddresses
    from vpn_frontend.settings import Address, Network, NetworkSettings


class AddressPools:
    """The server's pools of both families, and those of groups (``others``). No two overlap.

    A session gets an address of each family that it wants and its settings have a pool for, or none at all. Fixed
    addresses of users may be in none of them, and files of users and groups may name others, if ``outside`` takes them.
    Such a pool is there while a session has an address of it.
    """

    def __init__(
        self,
        ipv4: IPv4Network | None,
        ipv6: IPv6Network | None,
        others: Iterable[Network] = (),
        outside: OutsideAddresses | None = None,
        pool_type: Callable[[Any], AddressPool[Any]] = AddressPool,
    ) -> None:
        self._outside = outside
        self._may_open = pool_type is AddressPool  # the nodes of a fleet have what is configured, and share it
        self._opened: set[Network] = set()
        self.ipv4: AddressPool[IPv4Address] | None = None if ipv4 is None else pool_type(ipv4)
        self.ipv6: AddressPool[IPv6Address] | None = None if ipv6 is None else pool_type(ipv6)
        self._by_network: dict[Network, AddressPool[Any]] = {network: pool_type(network) for network in others}
        for network, pool in ((ipv4, self.ipv4), (ipv6, self.ipv6)):
            if network is not None and pool is not None:
                self._by_network[network] = pool

    @property
    def networks(self) -> tuple[Network, ...]:
        return tuple(self._by_network)

    def __iter__(self) -> Iterator[AddressPool[Any]]:
        return iter(self._by_network.values())

    def find_pool(self, network: Network | None) -> AddressPool[Any] | None:
        """The pool of that network, opened if need be. Raises ``NoAddressError`` if the server cannot have it."""
        if network is None:
            return None
        for own in (self.ipv4, self.ipv6):  # by far the most sessions; a network is slow to hash
            if own is not None and own.network is network:
                return own
        pool = self._by_network.get(network)
        return self._open(network) if pool is None else pool

    def take(
        self,
        user: str,
        *,
        want_ipv4: bool = True,
        want_ipv6: bool = True,
        static_ipv4: IPv4Address | None = None,
        static_ipv6: IPv6Address | None = None,
        network: NetworkSettings | None = None,
    ) -> InnerAddresses:
        """Addresses for one session of ``user``. Raises ``NoAddressError``, then nothing is held.

        ``network`` names the pools; ``None``: the server's own.
        """
        ipv4: IPv4Address | None = None
        try:
            pool4 = self.ipv4 if network is None else self.find_pool(network.ipv4_pool)
            pool6 = self.ipv6 if network is None else self.find_pool(network.ipv6_pool)
            ipv4 = self._take(pool4, user, static_ipv4) if want_ipv4 else None
            ipv6 = self._take(pool6, user, static_ipv6) if want_ipv6 else None
        except NoAddressError:
            self.give_back(InnerAddresses(ipv4, None))
            raise
        finally:
            self._close_unused(network)
        if ipv4 is None and ipv6 is None:
            raise NoAddressError("the client and this server have no address family in common")
        return InnerAddresses(ipv4, ipv6)

    def reclaim(
        self, user: str, addresses: InnerAddresses, network: NetworkSettings, static: Iterable[Address | None] = ()
    ) -> None:
        """Occupy what a session had before. Raises ``NoAddressError``, then nothing is held.

        The ``static`` addresses of its user may be of any pool, others have to be of those that ``network`` names.
        """
        own = frozenset(static)
        try:
            self._reclaim(user, addresses.ipv4, network.ipv4_pool, own)
            try:
                self._reclaim(user, addresses.ipv6, network.ipv6_pool, own)
            except NoAddressError:
                self.give_back(InnerAddresses(addresses.ipv4, None))
                raise
        finally:
            self._close_unused(network)

    def _reclaim(
        self, user: str, address: Address | None, network: Network | None, own: frozenset[Address | None]
    ) -> None:
        """Raises ``NoAddressError``."""
        if address is None:
            return
        if address in own:
            self._claim(user, address)
            return
        pool = self.find_pool(network)
        if pool is None:
            raise NoAddressError(f"there is no pool for {address}")
        pool.claim(user, address)

    def give_back(self, addresses: InnerAddresses) -> None:
        for address in (addresses.ipv4, addresses.ipv6):
            if address is None:
                continue
            pool = self.holder_of(address)
            if pool is not None:
                pool.give_back(address)
                self._close_if_unused(pool.network)
            elif self._outside is not None:
                self._outside.release(address)

    def _open(self, network: Network) -> AddressPool[Any]:
        """Raises ``NoAddressError``."""
        if self._outside is None or not self._may_open:
            raise NoAddressError(f"this server has no pool {network}")
        self._outside.open_pool(network, self._by_network)
        self._opened.add(network)
        pool = self._by_network[network] = AddressPool(network)
        return pool

    def _close_unused(self, settings: NetworkSettings | None) -> None:
        if settings is not None and self._opened:
            self._close_if_unused(settings.ipv4_pool)
            self._close_if_unused(settings.ipv6_pool)

    def _close_if_unused(self, network: Network | None) -> None:
        if not self._opened or network is None or network not in self._opened or self._by_network[network].used:
            return
        self._opened.remove(network)
        del self._by_network[network]
        if self._outside is not None:
            self._outside.close_pool(network)

    def _take(self, pool: AddressPool[Any] | None, user: str, static: Address | None) -> Any:  # noqa: ANN401
        if pool is None:
            return None
        return pool.take(user) if static is None else self._claim(user, static)

    def _claim(self, user: str, static: Address) -> Address:
        """A user's fixed address. Raises ``NoAddressError``."""
        pool = self.holder_of(static)
        if pool is not None:
            return cast("Address", pool.claim(user, static))
        if self._outside is None:
            raise NoAddressError(f"the fixed address {static} is in no pool of this server")
        self._outside.claim(user, static)
        return static

    def holder_of(self, address: Address) -> AddressPool[Any] | None:
        """The pool whose network holds the address."""
        for pool in self._by_network.values():
            if pool.holds(address):
                return pool
        return None
