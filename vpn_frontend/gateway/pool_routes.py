# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the kernel where packets for clients go. It answers without privileges, and sends nothing.

Configuring the device makes a route for each pool. Another program may remove it, or take the network for itself: then
what clients send still passes, and no answer comes back.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

DISCARD = 9  # any port: nothing is sent


def lost_pools(own: Iterable[IPv4Interface | IPv6Interface]) -> list[IPv4Network | IPv6Network]:
    """Returns the networks of ``own`` (the server's addresses on its device) that packets do not reach through it."""
    interfaces = list(own)
    addresses = {interface.ip for interface in interfaces}
    return [interface.network for interface in interfaces if not _is_reached(interface, addresses)]


def lost_networks(
    networks: Iterable[IPv4Network | IPv6Network], own: Iterable[IPv4Interface | IPv6Interface]
) -> list[IPv4Network | IPv6Network]:
    """Returns those of ``networks``, which are behind clients, that packets do not reach through the device.

    A network of a family in which the device has no address cannot be told, and counts as reached.
    """
    addresses = {interface.ip for interface in own}
    versions = {address.version for address in addresses}
    return [
        network
        for network in networks
        if network.version in versions and not _leads_to_device(_last_address(network), addresses)
    ]


def _last_address(network: IPv4Network | IPv6Network) -> IPv4Address | IPv6Address:
    """The last that a host can have."""
    return network.network_address if network.num_addresses <= 2 else network.broadcast_address - 1


def _is_reached(own: IPv4Interface | IPv6Interface, addresses: Container[IPv4Address | IPv6Address]) -> bool:
    client = own.network.broadcast_address - 1
    return int(client) <= int(own.ip) or _leads_to_device(client, addresses)  # a network without clients is reached


def _leads_to_device(client: IPv4Address | IPv6Address, addresses: Container[IPv4Address | IPv6Address]) -> bool:
    """True if packets for ``client`` leave with one of ``addresses``: their route is the device's.

    That need not be the route of the client's own network: a pool of a group may be inside the pool of all.
    """
    family = socket.AF_INET if client.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((str(client), DISCARD))
            return ip_address(asking.getsockname()[0]) in addresses
    except OSError:
        return False
