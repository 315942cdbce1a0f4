# SPDX-License-Identifier: GPL-3.0-or-later
"""Topology: one gateway namespace with any number of hosts.

    host 1  eth0 10.77.1.2, fd77:1::2 ────────── v1 ┐
    host 2  eth0 10.77.2.2, fd77:2::2 ────────── v2 ┼ gateway: lo 10.77.0.1, fd77::1
    host n  eth0 any addresses asked for ─────── vn ┘ (the server runs here; ocs0 when it serves)

Nothing touches the machine's own network, so every test process uses the same addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from lab.namespaces import Claim, Namespace
from lab.traffic.impairment import ImpairedLink

if TYPE_CHECKING:
    from lab.processes.programs import Program

SERVER_IPV4 = "10.77.0.1"
SERVER_IPV6 = "fd77::1"


@dataclass(slots=True)
class Host:
    """A client's machine: its namespace and the addresses the server sees it under."""

    number: int
    namespace: Namespace
    gateway: Namespace
    ipv4: str
    ipv6: str
    impaired_link: ImpairedLink | None = None

    @property
    def gateway_device(self) -> str:
        """The gateway's end of the veth pair."""
        return f"v{self.number}"

    def unplug(self) -> None:
        """Takes the link down: neither end gets packets or errors from the other."""
        self.gateway.ip(f"link set {self.gateway_device} down")

    def plug(self) -> None:
        self.gateway.ip(f"link set {self.gateway_device} up", *_gateway_routes(self.number, self.ipv4, self.ipv6))

    def blackhole(self, match: str = "") -> None:
        """Drops packets that match (nft syntax, empty: all) in both directions. The link stays up."""
        self.namespace.nft(
            "table inet blackhole {\n"
            f" chain out {{ type filter hook output priority 0; oifname eth0 {match} drop; }}\n"
            f" chain in {{ type filter hook input priority 0; iifname eth0 {match} drop; }}\n}}\n"
        )

    def remove_blackhole(self) -> None:
        self.namespace.run("nft", "delete", "table", "inet", "blackhole")

    def move_to(self, ipv4: str, ipv6: str | None = None) -> None:
        """Changes the host's addresses, as when a phone leaves a wireless network."""
        old4, old6 = self.ipv4, self.ipv6
        self.ipv4, self.ipv6 = ipv4, ipv6 or self.ipv6
        commands = [f"addr add {ipv4}/32 dev eth0", f"route replace {SERVER_IPV4} dev eth0 src {ipv4}"]
        if self.ipv6 != old6:
            commands += [
                f"addr add {self.ipv6}/128 dev eth0 nodad",
                f"route replace {SERVER_IPV6} via fe80::1 dev eth0 src {self.ipv6}",
                f"addr del {old6}/128 dev eth0",
            ]
        self.namespace.ip(*commands, f"addr del {old4}/32 dev eth0")
        self.gateway.ip(*_gateway_routes(self.number, self.ipv4, self.ipv6))


class Network:
    """The gateway, its hosts and the programs that run on them."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self.hosts: list[Host] = []
        self.programs: list[Program] = []  # all that were started
        self.gateway = Namespace.create(claim.name("gw"))
        self.gateway.ip(f"addr add {SERVER_IPV4}/32 dev lo", f"addr add {SERVER_IPV6}/128 dev lo nodad")

    def add_host(self, ipv4: str | None = None, ipv6: str | None = None, *, impaired: bool = False) -> Host:
        """Adds a host on its own veth pair; ``impaired`` puts a router with an ``ImpairedLink`` between."""
        number = len(self.hosts) + 1
        ipv4 = str(IPv4Address(ipv4 or f"10.77.{number}.2"))
        ipv6 = str(IPv6Address(ipv6 or f"fd77:{number:x}::2"))
        namespace = Namespace.create(self._claim.name(f"h{number}"))
        wire = f"v{number}"
        # Without duplicate address detection an address is usable at once.
        router = Namespace.create(self._claim.name(f"r{number}")) if impaired else None
        if router:
            self.gateway.ip(f"link add {wire} type veth peer name far netns {router.name}")
            router.ip(f"link add near type veth peer name eth0 netns {namespace.name}")
        else:
            self.gateway.ip(f"link add {wire} type veth peer name eth0 netns {namespace.name}")
        self.gateway.ip(f"link set {wire} addrgenmode none up", f"addr add fe80::1/64 dev {wire} nodad")
        namespace.ip(
            "link set eth0 addrgenmode none up",
            f"addr add {ipv4}/32 dev eth0",
            f"addr add {ipv6}/128 dev eth0 nodad",
            "addr add fe80::2/64 dev eth0 nodad",
            f"route add {SERVER_IPV4} dev eth0 src {ipv4}",
            f"route add {SERVER_IPV6} via fe80::1 dev eth0 src {ipv6}",
        )
        self.gateway.ip(*_gateway_routes(number, ipv4, ipv6))
        host = Host(number, namespace, self.gateway, ipv4, ipv6)
        if router:
            host.impaired_link = self._impair(router, host)
        self.hosts.append(host)
        return host

    def add_behind(self, host: Host, name: str, ipv4: str, *, router: str) -> Namespace:
        """A machine with the address ``ipv4`` in a network behind ``host``, which routes for it as ``router``."""
        behind = Namespace.create(self._claim.name(name))
        host.namespace.ip(
            f"link add {name} type veth peer name eth0 netns {behind.name}",
            f"link set {name} up",
            f"addr add {router} dev {name}",
        )
        behind.ip("link set eth0 up", f"addr add {ipv4} dev eth0", f"route add default via {router.partition('/')[0]}")
        host.namespace.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        return behind

    def _impair(self, router: Namespace, host: Host) -> ImpairedLink:
        """The router answers for both ends (proxy ARP, link-local addresses), so neither needs a route to it."""
        router.ip(
            "link set near addrgenmode none up",
            "link set far addrgenmode none up",
            "addr add fe80::1/64 dev near nodad",
            "addr add fe80::2/64 dev far nodad",
            f"route add {host.ipv4} dev near",
            f"route add {SERVER_IPV4} dev far",
            f"route add {host.ipv6} via fe80::2 dev near",
            f"route add {SERVER_IPV6} via fe80::1 dev far",
        )
        proxies = ("net.ipv4.conf.near.proxy_arp", "net.ipv4.conf.far.proxy_arp")
        for switch in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", *proxies):
            router.run("sysctl", "-qw", f"{switch}=1")
        return ImpairedLink(router)

    def close(self) -> None:
        for host in self.hosts:
            if host.impaired_link:
                host.impaired_link.close()
        self._claim.clear()
        self.hosts.clear()


def _gateway_routes(number: int, ipv4: str, ipv6: str) -> tuple[str, str]:
    return (
        f"route replace {ip_address(ipv4)} dev v{number} src {SERVER_IPV4}",
        f"route replace {ip_address(ipv6)} via fe80::2 dev v{number} src {SERVER_IPV6}",
    )
