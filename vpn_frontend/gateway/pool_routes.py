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


def _is_reached(own: IPv4Interface | IPv6Interface, addresses: Container[IPv4Address | IPv6Address]) -> bool:
    """True if packets for the pool's last address leave with one of ``addresses``: their route is the device's.

    That need not be the pool's own: a pool of a group may be inside the pool of all.
    """
    client = own.network.broadcast_address - 1
    if int(client) <= int(own.ip):
        return True  # a network without clients
    family = socket.AF_INET if own.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((str(client), DISCARD))
            return ip_address(asking.getsockname()[0]) in addresses
    except OSError:
        return False
