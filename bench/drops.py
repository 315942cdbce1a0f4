# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the kernel threw packets away, read inside a namespace: sockets without room, devices nobody read in time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.namespaces import Namespace


def udp_counter(namespace: Namespace, name: str) -> int:
    """One of the counters of UDP over IPv4 (RFC 4113), as ``InDatagrams``."""
    with namespace.entered():
        text = Path("/proc/thread-self/net/snmp").read_text()
    names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Udp:"))
    return int(dict(zip(names, values, strict=True))[name])


def socket_drops(namespace: Namespace, port: int) -> int:
    """Datagrams for which UDP sockets at or connected to ``port`` had no room, while those sockets live."""
    total = 0
    for family in "udp", "udp6":
        with namespace.entered():
            rows = Path("/proc/thread-self/net", family).read_text().splitlines()[1:]
        for row in rows:
            fields = row.split()
            ports = {int(end.rpartition(":")[2], 16) for end in fields[1:3]}
            total += int(fields[-1]) if port in ports else 0
    return total


def tunnel_drops(namespace: Namespace) -> int:
    """Packets that TUN devices refused, in either direction."""
    links = json.loads(namespace.run("ip", "-s", "-j", "link", "show", "type", "tun") or "[]")
    return sum(link["stats64"][way]["dropped"] for link in links if link for way in ("rx", "tx"))
