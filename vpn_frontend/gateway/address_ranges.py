# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks less other networks, as ascending disjoint ranges of addresses."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vpn_frontend.settings import Network

Range = tuple[int, int]  # first and last address, both included
EVERYWHERE: tuple[Network, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


def subtract_networks(networks: Iterable[Network], excluded: Iterable[Network], version: Literal[4, 6]) -> list[Range]:
    """Addresses of one IP version that are in ``networks`` and not in ``excluded``."""
    holes = _merge(excluded, version)
    left: list[Range] = []
    at = 0  # the first hole that may still matter: both lists ascend
    for first, last in _merge(networks, version):
        start = first
        while at < len(holes) and holes[at][1] < start:
            at += 1
        hole = at
        while hole < len(holes) and holes[hole][0] <= last:
            if start < holes[hole][0]:
                left.append((start, holes[hole][0] - 1))
            start = holes[hole][1] + 1
            hole += 1
        if start <= last:
            left.append((start, last))
    return left


def _merge(networks: Iterable[Network], version: int) -> list[Range]:
    merged: list[Range] = []
    ranges = (
        (int(network.network_address), int(network.broadcast_address))
        for network in networks
        if network.version == version
    )
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged
