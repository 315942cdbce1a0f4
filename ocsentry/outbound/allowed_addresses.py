# SPDX-License-Identifier: GPL-3.0-or-later
"""Which addresses the server may send requests to: public ones, and what the operator configured.

A publisher of lists, or its name server, could otherwise point the server at services on loopback or in the operator's
own networks. The address that was checked is the one that is connected to, so a second look-up cannot change it.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vpn_frontend.settings import Address, Network

    Resolver = Callable[[str, int], Iterable[str]]

NAT64 = IPv6Address("64:ff9b::").packed[:12]  # RFC 6052: an IPv4 address is in the last four bytes


def resolve(host: str, port: int) -> list[str]:
    """Returns the addresses of ``host``. Raises ``OSError``."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True, slots=True)
class AllowedAddresses:
    """``networks`` are allowed beside public addresses, and ``literal``, an address and port of the configured URL.

    ``setting`` is the configuration key of the networks.
    """

    networks: Sequence[Network] = ()
    literal: tuple[str, int] | None = None
    resolver: Resolver = resolve
    setting: str = "policy.feed_networks"

    def find(self, host: str, port: int) -> list[str]:
        """Returns the allowed addresses of ``host``. Raises ``OSError`` if there is none."""
        if self.literal == (host, port):
            return [host]
        found = list(self.resolver(host, port))
        allowed = [address for address in found if self._allows(address)]
        if not allowed:
            said = ", ".join(found) or "no address"
            raise OSError(f"{host} is {said}: not public, and not in {self.setting}")
        return allowed

    def _allows(self, text: str) -> bool:
        address = ip_address(text.partition("%")[0])
        if any(address in network for network in self.networks):
            return True
        return all(one.is_global and not one.is_multicast for one in (address, *_embedded(address)))


def _embedded(address: Address) -> Iterable[IPv4Address]:
    """Yields the IPv4 addresses that an IPv6 address stands for."""
    if not isinstance(address, IPv6Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address.packed.startswith(NAT64):
        yield IPv4Address(address.packed[12:])
