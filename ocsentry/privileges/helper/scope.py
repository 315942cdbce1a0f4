# SPDX-License-Identifier: GPL-3.0-or-later
"""What the helper may act on. It is fixed by the first message, before the server has read a byte from the network."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from vpn_frontend.gateway.tun import TunDevice

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    from ocsentry.privileges.helper.protocol import Document


@dataclass(frozen=True, slots=True)
class Scope:
    """``files`` are named by configuration key. Routes lead to ``device``, for networks inside ``networks`` only.

    ``listeners`` (TCP) and ``datagrams`` (UDP) are the endpoints that may be bound, as text. With ``packet_filter`` new
    connections to them can be dropped in the kernel, except those from ``never_block``.
    """

    files: dict[str, Path]
    device: TunDevice
    networks: tuple[IPv4Network | IPv6Network, ...]
    listeners: tuple[str, ...] = ()
    datagrams: tuple[str, ...] = ()
    packet_filter: bool = False
    never_block: tuple[IPv4Network | IPv6Network, ...] = ()

    def render(self) -> Document:
        return {
            "files": {key: str(path) for key, path in self.files.items()},
            "device": self.device.name,
            "addresses": [str(address) for address in self.device.addresses],
            "mtu": self.device.mtu,
            "networks": [str(network) for network in self.networks],
            "listeners": self.listeners,
            "datagrams": self.datagrams,
            "packet_filter": self.packet_filter,
            "never_block": [str(network) for network in self.never_block],
        }

    @classmethod
    def parse(cls, document: Document) -> Scope:
        addresses = tuple(ip_interface(text) for text in document["addresses"])
        return cls(
            files={key: Path(path) for key, path in document["files"].items()},
            device=TunDevice(document["device"], addresses, document["mtu"]),
            networks=tuple(ip_network(text) for text in document["networks"]),
            listeners=tuple(document["listeners"]),
            datagrams=tuple(document["datagrams"]),
            packet_filter=document["packet_filter"],
            never_block=tuple(ip_network(text) for text in document["never_block"]),
        )
