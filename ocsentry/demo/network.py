# SPDX-License-Identifier: GPL-3.0-or-later
"""A network namespace for one client, joined to this host by a pair of virtual devices.

host: DEVICE, first address of a /30 of 198.18.0.0/15 (RFC 2544) ── eth0 of the namespace, the second one

The host gets one device with its connected network. No other route, address, rule or setting of it changes, and all of
it goes with the namespace.
"""

from __future__ import annotations

import os
import subprocess
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "ocsentry-demo-"
BENCHMARK_NETWORK = IPv4Network("198.18.0.0/15")  # never on the Internet
NAMESPACES = Path("/run/netns")
DEADLINE = 30.0  # seconds for one command


class DemoError(OperatorError):
    """The demo cannot go on. The text says why."""


@dataclass(frozen=True, slots=True)
class ClientNetwork:
    """``server`` is an address of this host for the client, ``client`` the one that the server sees."""

    name: str
    device: str
    server: IPv4Address
    client: IPv4Address

    def run(self, *command: str) -> list[str]:
        """Returns ``command`` as it runs in the namespace."""
        return ["ip", "netns", "exec", self.name, *command]

    def close(self) -> None:
        """Its device on this host goes with the namespace."""
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True, timeout=DEADLINE)


def open_network(server: IPv4Address | None) -> ClientNetwork:
    """Make a namespace. ``server``: the address of the VPN; ``None``: any of this host. Raises ``DemoError``."""
    remove_leftovers()
    pair = _free_pair(_used_networks())
    here, there = (IPv4Interface((address, 30)) for address in pair)
    made = ClientNetwork(f"{PREFIX}{os.getpid()}", f"ocd{os.getpid()}", server or here.ip, there.ip)
    _ip("netns", "add", made.name)
    try:
        _ip("link", "add", made.device, "type", "veth", "peer", "name", "eth0", "netns", made.name)
        _ip("addr", "add", str(here), "dev", made.device)
        _ip("link", "set", made.device, "up")
        inside = ("-n", made.name)
        _ip(*inside, "link", "set", "lo", "up")
        _ip(*inside, "addr", "add", str(there), "dev", "eth0")
        _ip(*inside, "link", "set", "eth0", "up")
        if server is not None:
            _ip(*inside, "route", "add", str(server), "via", str(here.ip))
    except DemoError:
        made.close()
        raise
    return made


def configure_tunnel(network: ClientNetwork, device: str, ipv4: str, mtu: int, route: str) -> None:
    """What a client's script does, in the namespace alone. Raises ``DemoError``."""
    inside = ("-n", network.name)
    _ip(*inside, "addr", "add", f"{ipv4}/32", "dev", device)
    _ip(*inside, "link", "set", device, "mtu", str(mtu), "up")
    _ip(*inside, "route", "add", route, "dev", device)


def remove_leftovers() -> None:
    """Remove namespaces of demos that were killed."""
    for path in NAMESPACES.glob(f"{PREFIX}*"):
        if not Path("/proc", path.name.removeprefix(PREFIX)).exists():
            subprocess.run(["ip", "netns", "del", path.name], check=False, capture_output=True, timeout=DEADLINE)


def _used_networks() -> list[IPv4Network]:
    used = []
    for line in _ip("-4", "-o", "route", "show", "table", "all").splitlines():
        word = next((word for word in line.split() if word[0].isdigit()), "")
        try:
            used.append(IPv4Network(word, strict=False))
        except ValueError:
            continue
    return [network for network in used if network.prefixlen]


def _free_pair(used: Iterable[IPv4Network]) -> tuple[IPv4Address, IPv4Address]:
    networks = list(used)
    for subnet in BENCHMARK_NETWORK.subnets(new_prefix=30):
        if not any(subnet.overlaps(other) for other in networks):
            first, second = subnet.hosts()
            return first, second
    raise DemoError(f"every network of {BENCHMARK_NETWORK} is in use on this host")


def _ip(*arguments: str) -> str:
    try:
        done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True, timeout=DEADLINE)
    except FileNotFoundError:
        raise DemoError("the program ip is missing: apt install iproute2") from None
    if done.returncode:
        raise DemoError(f"ip {' '.join(arguments)}: {done.stderr.strip()} (the demo needs root)")
    return done.stdout
