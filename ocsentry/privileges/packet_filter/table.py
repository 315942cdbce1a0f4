# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables table of one server: its text, and the set that each network belongs to.

New TCP connections and DTLS ClientHellos to the listening ports are compared with four sets; what matches is dropped.
Packets of connections that exist pass: the server closes those itself, and tells the client why. Networks of
``never_block`` are in sets of their own, which win whatever the others hold.

Single addresses and IPv6 /64 are in hash sets: adding one costs the same however many there are. Other prefixes are in
interval sets, for which libnftables reads the whole set at each change; so these are small.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vpn_frontend.settings import Endpoint

Network = IPv4Network | IPv6Network

PRIORITY = -10  # before the usual filter chains
SOURCE_PREFIX = 64  # of an IPv6 source
COUNTERS = {"ipv4": "dropped4", "ipv6": "dropped6"}
MAX_SINGLE, MAX_NETWORKS = 65_536, 8_192  # elements of one hash set, and of one interval set
MAPPED = "::ffff:0:0/96"  # the engine takes these for IPv4


@dataclass(frozen=True, slots=True)
class SetKind:
    """One set. ``intervals``: it holds prefixes, which may not overlap."""

    name: str
    type: str
    intervals: bool

    @property
    def capacity(self) -> int:
        return MAX_NETWORKS if self.intervals else MAX_SINGLE


ADDRESSES4 = SetKind("addresses4", "ipv4_addr", intervals=False)
NETWORKS4 = SetKind("networks4", "ipv4_addr", intervals=True)
SOURCES6 = SetKind("sources6", "ipv6_addr", intervals=False)
NETWORKS6 = SetKind("networks6", "ipv6_addr", intervals=True)
SETS = (ADDRESSES4, NETWORKS4, SOURCES6, NETWORKS6)


def set_of(version: int, prefixlen: int) -> SetKind:
    """The set for a network of IP ``version``."""
    if version == 4:
        return ADDRESSES4 if prefixlen == 32 else NETWORKS4
    return SOURCES6 if prefixlen == SOURCE_PREFIX else NETWORKS6


def element_text(network: Network) -> str:
    """``network`` as an element of its set."""
    kind = set_of(network.version, network.prefixlen)
    return str(network) if kind.intervals else str(network.network_address)


def table_name(device: str) -> str:
    """Two servers on one host have different TUN devices."""
    return f"ocsentry_{device}"


def render_table(name: str, tcp: Iterable[Endpoint], udp: Iterable[Endpoint], never_block: Iterable[Network]) -> str:
    """The commands that replace the table by one with empty sets."""
    spared = list(never_block)
    lines = [
        f"table inet {name} {{ flags owner; }}",
        f"delete table inet {name}",
        f"table inet {name} {{",
        "flags owner",
    ]
    lines += [f"counter {counter} {{}}" for counter in COUNTERS.values()]
    for kind in SETS:
        flags = "interval, timeout" if kind.intervals else "timeout"
        size = 2 * kind.capacity + 2 if kind.intervals else kind.capacity  # a prefix is a start and an end
        lines.append(f"set {kind.name} {{ type {kind.type}; flags {flags}; size {size}; }}")
    lines += [_never_set(version, spared) for version in (4, 6)]
    lines.append("chain refused {")
    lines.append("ip saddr @never4 accept")
    lines.append("ip6 saddr @never6 accept")
    lines.append(f"ip6 saddr {MAPPED} accept")
    for family, sets, mask in (("ip", (ADDRESSES4, NETWORKS4), ""), ("ip6", (SOURCES6, NETWORKS6), _mask())):
        counter = COUNTERS["ipv4" if family == "ip" else "ipv6"]
        for kind in sets:
            key = f"{family} saddr" + ("" if kind.intervals else mask)
            lines.append(f"{key} @{kind.name} counter name {counter} drop")
    lines += ["}", "chain input {", f"type filter hook input priority {PRIORITY}; policy accept;"]
    # A SYN that begins a connection; a DTLS record of epoch 0 with a handshake message of type ClientHello.
    syn, hello = "tcp flags & (fin|syn|rst|ack) == syn", "@th,64,8 22 @th,88,16 0 @th,168,8 1"
    lines += [f"{_to(endpoint)} tcp dport {endpoint.port} {syn} goto refused" for endpoint in tcp]
    lines += [f"{_to(endpoint)} udp dport {endpoint.port} {hello} goto refused" for endpoint in udp]
    return "\n".join([*lines, "}", "}"])


def _mask() -> str:
    return " & ffff:ffff:ffff:ffff::"


def _never_set(version: int, networks: list[Network]) -> str:
    family = [network for network in networks if network.version == version]
    members = ", ".join(map(str, collapse_addresses(family)))  # type: ignore[type-var]  # of one family
    elements = f" elements = {{ {members} }};" if members else ""
    return f"set never{version} {{ type ipv{version}_addr; flags interval;{elements} }}"


def _to(endpoint: Endpoint) -> str:
    """The match on the destination. ``[::]`` accepts IPv4 too."""
    if not endpoint.address.is_unspecified:
        return f"{'ip' if endpoint.address.version == 4 else 'ip6'} daddr {endpoint.address}"
    return "meta nfproto ipv4" if endpoint.address.version == 4 else ""
