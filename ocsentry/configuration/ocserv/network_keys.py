# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of the inner network: addresses, routes, names, restrictions, bandwidth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocsentry.configuration.ocserv.route_commands import ROUTE_COMMAND, read_command
from ocsentry.configuration.ocserv.rows import (
    Row,
    addresses,
    assembled,
    differs,
    ignored,
    ignored_if_on,
    mapped,
    networks,
    number,
    number_of,
    refused,
    switch,
    text,
)
from vpn_frontend.ocserv.values import read_ports
from vpn_frontend.protocol.constants import MAX_MTU, MIN_MTU
from vpn_frontend.settings import VpnSettings

if TYPE_CHECKING:
    from ocsentry.configuration.ocserv.rows import Read
    from ocsentry.configuration.ocserv.target import Target
    from vpn_frontend.ocserv.grammar import Entry

HOST_PREFIX = 128
MAX_RATE = 1 << 60


def _read_domains(key: str, most: int) -> Read:
    def read(target: Target, entries: tuple[Entry, ...]) -> None:
        names = list(dict.fromkeys(entry.value for entry in entries if entry.value))
        if len(names) > most:
            target.differs(entries[-1], f"{key} has at most {most} names: the others are left out")
        target.set(key, names[:most], entries[-1])

    return read


def _read_ports(target: Target, entries: tuple[Entry, ...]) -> None:
    try:
        rules = read_ports(entries[-1].value)
    except ValueError as error:
        target.refuse(entries[-1], str(error))
        return
    target.set("vpn.network.restrict_to_ports", rules, entries[-1])
    if rules:
        target.set("vpn.network.restrict_to_routes", True, entries[-1])


def _read_subnet(target: Target, entries: tuple[Entry, ...]) -> None:
    prefix = number_of(target, entries[-1])
    if prefix not in (None, 0, HOST_PREFIX):
        target.refuse(entries[-1], "a client has one IPv6 address: remove the key, or set it to 128")


def _read_rate(key: str) -> Read:
    """Bytes per second; ocserv cuts them to thousands."""

    def read(target: Target, entries: tuple[Entry, ...]) -> None:
        rate = number_of(target, entries[-1])
        if rate is None:
            return
        cut = rate // 1000 * 1000
        if cut != rate:
            target.differs(entries[-1], f"ocserv reads {rate} as {cut}")
        target.set(key, cut, entries[-1])

    return read


NETWORK_KEYS: tuple[Row, ...] = (
    mapped(
        "ipv4-network",
        "vpn.network.ipv4_pool",
        assembled,
        "The first host address is the server's, as in ocserv. In files of users and groups: a pool of its own.",
    ),
    mapped("ipv4-netmask", "vpn.network.ipv4_pool", assembled),
    mapped("ipv6-network", "vpn.network.ipv6_pool", assembled, "In files of users and groups: a pool of its own."),
    mapped("ipv6-prefix", "vpn.network.ipv6_pool", assembled),
    refused("ipv6-subnet-prefix", "Other than 128 is refused: a client has one IPv6 address.", _read_subnet),
    ignored("predictable-ips", "A user's address is kept in any case, as far as it is free."),
    ignored("ping-leases", "Addresses of the pool belong to the server alone."),
    mapped("dns", "vpn.network.dns", addresses("vpn.network.dns", most=8), several=True),
    mapped("nbns", "vpn.network.nbns", addresses("vpn.network.nbns", most=4, versions=(4,)), several=True),
    mapped("default-domain", "vpn.network.default_domain", text("vpn.network.default_domain")),
    mapped("split-dns", "vpn.network.split_dns", _read_domains("vpn.network.split_dns", 64), several=True),
    mapped("tunnel-all-dns", "vpn.network.tunnel_all_dns", switch("vpn.network.tunnel_all_dns")),
    mapped(
        "route",
        "vpn.network.routes",
        networks("vpn.network.routes"),
        "Bits behind the prefix are stripped.",
        several=True,
    ),
    mapped("no-route", "vpn.network.no_routes", networks("vpn.network.no_routes"), several=True),
    mapped("restrict-user-to-routes", "vpn.network.restrict_to_routes", switch("vpn.network.restrict_to_routes")),
    mapped("restrict-user-to-ports", "vpn.network.restrict_to_ports", _read_ports, "Sets restrict_to_routes, too."),
    mapped(
        "mtu",
        "vpn.network.mtu",
        number("vpn.network.mtu", low=MIN_MTU, high=MAX_MTU, zero=VpnSettings().network.mtu),
        "0: 1400.",
    ),
    mapped(
        "proxy-url",
        "vpn.network.proxy_pac_url",
        text("vpn.network.proxy_pac_url"),
        "%{U} and %{G} are percent-encoded.",
    ),
    mapped("rx-data-per-sec", "vpn.bandwidth.from_client", _read_rate("vpn.bandwidth.from_client")),
    mapped("tx-data-per-sec", "vpn.bandwidth.to_client", _read_rate("vpn.bandwidth.to_client")),
    mapped("route-add-cmd", "vpn.hooks.route_add", read_command("route_add"), ROUTE_COMMAND),
    mapped("route-del-cmd", "vpn.hooks.route_del", read_command("route_del"), ROUTE_COMMAND),
    differs(
        "compression",
        "",
        "Nothing is compressed: lengths would tell what is inside.",
        ignored_if_on("nothing is compressed: the length of packets would tell what is inside"),
    ),
    ignored("compression-algo-priority", "Nothing is compressed."),
    ignored("no-compress-limit", "Nothing is compressed."),
    mapped(
        "client-bypass-protocol",
        "vpn.network.client_bypass_protocol",
        switch("vpn.network.client_bypass_protocol"),
    ),
)
