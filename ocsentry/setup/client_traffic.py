# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients of a new server reach: the server alone, networks behind it, or everything through the tunnel."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vpn_frontend.settings import Address, Network

POOLS = ("192.168.99.0/24", "fd00:99::/64")
RESOLVER_FILES = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))
MAX_SERVERS = 3  # as resolv.conf(5)


@dataclass(frozen=True, slots=True)
class ClientTraffic:
    """``full_tunnel``: all traffic of clients. Otherwise ``networks`` beside the server's own."""

    full_tunnel: bool = False
    networks: tuple[Network, ...] = ()
    dns: tuple[Address, ...] = ()

    @property
    def needs_forwarding(self) -> bool:
        return self.full_tunnel or bool(self.networks)

    def settings(self, *, ipv6: bool) -> dict[str, str]:
        """Returns what the starter's placeholders become. Without ``ipv6`` clients get no IPv6 addresses."""
        pools = POOLS if ipv6 else POOLS[:1]
        routes = () if self.full_tunnel else (*pools, *map(str, self.networks))
        return {
            "POOL6": POOLS[1] if ipv6 else "",
            "ROUTES": ", ".join(f'"{route}"' for route in routes),
            "DNS": ", ".join(f'"{server}"' for server in self.dns),
        }


def host_resolvers(files: Iterable[Path] = RESOLVER_FILES) -> tuple[Address, ...]:
    """Returns the name servers that this host asks, for clients that send all traffic here; none that is this host."""
    for file in files:
        try:
            lines = file.read_text().splitlines()
        except OSError:
            continue
        found = [_address(line.split()[1]) for line in lines if line.startswith("nameserver") and len(line.split()) > 1]
        usable = [address for address in found if address is not None and not _is_local(address)]
        if usable:
            return tuple(usable[:MAX_SERVERS])
    return ()


def _is_local(address: IPv4Address | IPv6Address) -> bool:
    """True if clients cannot reach the address."""
    return address.is_loopback or address.is_link_local


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
