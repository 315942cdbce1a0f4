# SPDX-License-Identifier: GPL-3.0-or-later
"""What the helper may act on. It is fixed by the first message, before the server has read a byte from the network.

Only files come later, after a reload: those that the configuration names, see ``late_files``.
"""

from __future__ import annotations

import os
from dataclasses import field
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.gateway.tun import TunDevice

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    from ocsentry.privileges.helper.protocol import Document

API_PREFIX = "admin."
API_KEY = f"{API_PREFIX}private_key"


@dataclass(slots=True)
class LateFiles:
    """Files that reloads have named, by the names that the helper gave them."""

    plain: dict[str, Path] = field(default_factory=dict)
    private: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scope:
    """``files`` are named by configuration key. Routes lead to ``device``, for networks inside ``networks`` only.

    ``listeners`` (TCP) and ``datagrams`` (UDP) are the endpoints that may be bound, as text. With ``packet_filter`` new
    connections to them can be dropped in the kernel, except those from ``never_block``. ``private_files`` names files
    that the signing process alone reads; empty: there is no such process.
    """

    files: dict[str, Path]
    device: TunDevice
    networks: tuple[IPv4Network | IPv6Network, ...]
    listeners: tuple[str, ...] = ()
    datagrams: tuple[str, ...] = ()
    packet_filter: bool = False
    never_block: tuple[IPv4Network | IPv6Network, ...] = ()
    private_files: tuple[str, ...] = ()
    configuration: Path = Path()  # its file
    late: LateFiles = field(default_factory=LateFiles, compare=False)

    def private_file(self, name: str) -> Path | None:
        """A file that the signing process reads; ``None``: that is none."""
        return self.files[name] if name in self.private_files else self.late.private.get(name)

    def plain_file(self, name: str) -> Path | None:
        """A file that the server may read, or a private one: see ``is_private``."""
        return self.files.get(name, self.late.plain.get(name))

    def is_late(self, name: str) -> bool:
        return name in self.late.plain

    def is_private(self, name: str) -> bool:
        """True for a file with a private key that the server is not to read, whichever key names it.

        A key of the API is the server's own: if it is the VPN's too, isolation is of no use.
        """
        if name.startswith(API_PREFIX):
            return False
        return self.files.get(name) in {self.files[one] for one in self.private_files}

    def leads_to_private(self, name: str, descriptor: int) -> bool:
        """True if the open file ``name`` is a private one by another path: by a link in a folder of the server.

        The API's key, and a file of the API that is a private one by its own path, are as the operator wrote them.
        """
        private = {*(self.files[one] for one in self.private_files), *self.late.private.values()}
        if name.startswith(API_PREFIX) and (name == API_KEY or self.files.get(name) in private):
            return False
        return any(_is_open_at(path, descriptor) for path in private)

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
            "private_files": self.private_files,
            "configuration": str(self.configuration),
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
            private_files=tuple(document["private_files"]),
            configuration=Path(document["configuration"]),
        )


def _is_open_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:  # it is missing, so nothing leads to it
        return False
