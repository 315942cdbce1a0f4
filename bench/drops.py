# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets that the kernel dropped in a namespace: full sockets, and full queues of TUN devices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.namespaces import Namespace


def udp_counter(namespace: Namespace, name: str) -> int:
    """Returns a counter of UDP over IPv4 (RFC 4113), for instance ``InDatagrams``."""
    with namespace.entered():
        text = Path("/proc/thread-self/net/snmp").read_text()
    names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Udp:"))
    return int(dict(zip(names, values, strict=True))[name])


def socket_drops(namespace: Namespace, port: int) -> int:
    """Returns datagrams dropped by open UDP sockets that are bound or connected to ``port``."""
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
    """Returns packets that TUN devices dropped, in both directions."""
    links = json.loads(namespace.run("ip", "-s", "-j", "link", "show", "type", "tun") or "[]")
    return sum(link["stats64"][way]["dropped"] for link in links if link for way in ("rx", "tx"))
