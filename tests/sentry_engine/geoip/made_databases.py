# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases of any size in MaxMind's format, written by a library independent of the reader under test."""

from __future__ import annotations

import random
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from mmdb_writer import MMDBWriter
from netaddr import IPSet

Network = IPv4Network | IPv6Network
CODES = tuple(a + b for a in "ABCDEFGHIJKLMNO" for b in "ABCDEFGHIJKLMNOPQ")


def write_countries(path: Path, networks: int, *, seed: int = 1) -> dict[Network, str]:
    """Write ``networks`` /24s and /48s, each in one of 255 countries. Returns their countries."""
    chance = random.Random(seed)
    said: dict[Network, str] = {}
    for n in range(networks):
        if n % 2:
            said[IPv4Network((0x0A00_0000 + (n << 7 & 0xFFFF_FF00), 24))] = chance.choice(CODES)
        else:
            said[IPv6Network((0x2001 << 112 | n << 80, 48))] = chance.choice(CODES)
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Made-Country")
    for network, code in said.items():
        writer.insert_network(IPSet([str(network)]), {"country": {"iso_code": code}, "continent": {"code": "EU"}})
    fresh = path.with_suffix(".new")
    writer.to_db_file(str(fresh))
    fresh.replace(path)
    return said
