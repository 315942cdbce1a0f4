# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of networks, from the lists of a core: the specification of what the native core collects in C."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import nlargest

from sentry_engine.cores.interface import Burst, Core, KnownNetwork, KnownNetworks, SourceState


def list_known(core: Core, now: float, most: int) -> KnownNetworks:
    """As ``Core.list_known``, in the order of addresses."""
    strikes = {(one.network, one.length): one.count for one in core.strikes(now)}
    events = dict.fromkeys(strikes, 0)
    for burst in core.bursts(now):
        source = (burst.network, burst.length)
        events[source] = events.get(source, 0) + burst.count
    kept = set(nlargest(most, events, key=lambda source: (strikes.get(source, 0), events[source])))
    penalties = {(one.network, one.length) for one in core.penalties(now)}
    rows = [KnownNetwork(*network, network in kept, network in penalties) for network in sorted(kept | penalties)]
    return KnownNetworks(rows, len(events) - len(kept))


def read_networks(
    core: Core, networks: Iterable[tuple[bytes, int]], clock: Callable[[], float]
) -> Iterator[SourceState]:
    """As ``Core.read_networks``; all of them by one time."""
    now = clock()
    penalties = {(one.network, one.length): one for one in core.penalties(now)}
    strikes = {(one.network, one.length): one for one in core.strikes(now)}
    bursts: dict[tuple[bytes, int], list[Burst]] = {}
    for burst in core.bursts(now):
        bursts.setdefault((burst.network, burst.length), []).append(burst)
    for network in networks:
        yield SourceState(*network, penalties.get(network), strikes.get(network), tuple(bursts.get(network, ())))
