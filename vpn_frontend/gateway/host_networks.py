# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks and addresses of this host, which no pool and nothing behind a client may overlap with."""

from __future__ import annotations

import errno
from ipaddress import ip_network
from typing import TYPE_CHECKING

from vpn_frontend.gateway.rtnetlink import RouteSocket

if TYPE_CHECKING:
    from vpn_frontend.settings import Address, Network


def local_networks(device: str) -> list[Network]:
    """Networks of the host's addresses, except loopback, link-local and those of ``device``. Empty without netlink."""
    try:
        with RouteSocket() as netlink:
            addresses = netlink.addresses()
            own = _find_link(netlink, device)
    except OSError:
        return []  # without netlink the device cannot be configured either
    return [
        ip_network(f"{one.peer}/{one.prefixlen}", strict=False)
        for one in addresses
        if one.link != own and not one.peer.is_loopback and not one.peer.is_link_local
    ]


def _find_link(netlink: RouteSocket, device: str) -> int | None:
    try:
        return netlink.find_link(device)
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


def taken_addresses() -> frozenset[Address]:
    """The host's own addresses and those of the gateways of its routes. Raises ``OSError`` without netlink."""
    with RouteSocket() as netlink:
        gateways = {route.gateway for route in netlink.routes() if route.gateway is not None}
        return frozenset(gateways.union(*({one.address, one.peer} for one in netlink.addresses())))
