# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses what the kernel's sets hold: bounded, without overlaps in an interval set."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network

from ocsentry.privileges.packet_filter.table import SETS, Network, SetKind, set_of
from sentry_engine.addresses import MASKS, V4_OFFSET, is_ipv4, render_network
from sentry_engine.exchange.standing_refusals import Refusal

MARGIN = 2.0  # seconds by which the kernel forgets before the engine does, and a change may take
SHORTEST = MARGIN + 1.0  # a refusal that ends sooner is the engine's alone

Key = tuple[bytes, int]  # a packed network and its length


@dataclass(frozen=True, slots=True)
class Elements:
    """``ends`` are in the engine's clock. ``left_out`` counts refusals for which a set has no room."""

    ends: dict[Key, float]
    left_out: int = 0


def choose(refusals: Iterable[Refusal], now: float) -> Elements:
    """The elements for ``refusals``. When a set is full the first ones of it stay, and the engine refuses the rest.

    Of two networks that overlap the wider one is chosen. The other one follows when the wider one has ended.
    """
    chosen: dict[str, dict[Key, float]] = {kind.name: {} for kind in SETS}
    left_out = 0
    for network, length, until in refusals:
        if until - now < SHORTEST:
            continue
        kind = _set_of(network, length)
        members, key = chosen[kind.name], (network, length)
        if key in members:
            members[key] = max(members[key], until)
        elif len(members) < kind.capacity:
            members[key] = until
        else:
            left_out += 1
    ends: dict[Key, float] = {}
    for kind in SETS:
        members = chosen[kind.name]
        ends.update(_without_overlaps(members) if kind.intervals else members)
    return Elements(ends, left_out)


def network_of(key: Key) -> Network:
    return ip_network(render_network(*key))


def seconds_left(until: float, now: float) -> int:
    """The timeout of an element that is made at ``now`` or up to ``MARGIN`` later. 0: none. Below 1: too late."""
    return 0 if math.isinf(until) else math.floor(until - now - MARGIN)


def _set_of(network: bytes, length: int) -> SetKind:
    if length >= V4_OFFSET and is_ipv4(network):
        return set_of(4, length - V4_OFFSET)
    return set_of(6, length)


def _without_overlaps(members: dict[Key, float]) -> dict[Key, float]:
    kept: dict[Key, float] = {}
    last: Key | None = None
    for key in sorted(members):
        if last is None or not (last[1] <= key[1] and _holds(last, key)):
            kept[key] = members[key]
            last = key
    return kept


def _holds(wide: Key, narrow: Key) -> bool:
    """``wide`` is the shorter prefix, and both are of one family."""
    return (int.from_bytes(wide[0]) ^ int.from_bytes(narrow[0])) & MASKS[wide[1]] == 0
