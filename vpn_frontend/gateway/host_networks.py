# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks and addresses of this host, which no pool and nothing behind a client may overlap with."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from pyroute2 import IPRoute, NetlinkError

if TYPE_CHECKING:
    from vpn_frontend.settings import Address, Network


def local_networks(device: str) -> list[Network]:
    """Networks of the host's addresses, except loopback, link-local and those of ``device``. Empty without netlink."""
    found: list[Network] = []
    try:
        with IPRoute() as netlink:
            own = set(netlink.link_lookup(ifname=device))
            for message in netlink.get_addr():
                address = ip_address(message.get_attr("IFA_ADDRESS"))
                if message["index"] not in own and not address.is_loopback and not address.is_link_local:
                    found.append(ip_network(f"{address}/{message['prefixlen']}", strict=False))
    except (NetlinkError, OSError):
        return []  # without netlink the device cannot be configured either
    return found


def taken_addresses() -> frozenset[Address]:
    """The host's own addresses and those of the gateways of its routes. Raises ``OSError`` without netlink."""
    with IPRoute() as netlink:
        own = (message.get_attr(name) for message in netlink.get_addr() for name in ("IFA_ADDRESS", "IFA_LOCAL"))
        gateways = (message.get_attr("RTA_GATEWAY") for message in netlink.get_routes())
        return frozenset(ip_address(text) for text in (*own, *gateways) if text)
