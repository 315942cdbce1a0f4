# SPDX-License-Identifier: GPL-3.0-or-later
"""What tunnels notice of a Python that is stuck or busy: throughput and round trips beside each disturbance.

A held interpreter lock takes no processor time, so what it costs shows at full load. The others work, and where tunnels
already use the whole machine their work is the tunnels' loss; so all are shown at a rate that leaves room for them.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING

from bench.drops import socket_drops
from bench.measures.openconnect import tunnel
from bench.measures.saturation import SINK, pushing, sink
from bench.peers import OurPeer
from bench.readings import Effort, Reading
from lab import stressors
from lab.continuous_ping import ContinuousPing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.peers import Client, Peer

WARM = 0.5  # seconds of traffic before the first look
REPEATS = 4  # of every disturbance, each between others: what swings by itself swings for all of them
CLIENTS, RATE = 4, 25.0  # tunnels, Mbit/s of each
CALLS = 1000  # API calls per second
PINGS = 0.002  # seconds between two
UNDISTURBED = "undisturbed"


@dataclass(slots=True)
class Seen:
    """What tunnels moved and how long round trips took while one thing went on, all its turns together."""

    packets: int = 0
    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    lost: int = 0

    @property
    def rate(self) -> float:
        return self.packets / self.seconds


def independence(peer: Peer, effort: Effort) -> Iterator[Reading]:
    if not isinstance(peer, OurPeer):
        return  # ocserv runs no interpreter
    peer.restart(launcher=stressors.LAUNCHER)
    with sink(peer, SINK), tunnel(peer, peer.second_host, dtls=False) as client:
        with pushing(peer, 2, dtls=False):
            time.sleep(WARM)
            quiet, held = Seen(), Seen()
            for _ in range(REPEATS):
                _watch(peer, quiet, lambda: time.sleep(stressors.HOLD_SECONDS))
                _watch(peer, held, lambda: stressors.hold_gil(peer.server))
        share = 100 * held.rate / quiet.rate
        yield Reading("interpreter held for 1 s: throughput at full load", "% of undisturbed", share, True)
        with pushing(peer, CLIENTS, dtls=False, rate=RATE):
            time.sleep(WARM)
            yield from _at_rate(peer, client, effort)
    peer.restart()


def _at_rate(peer: OurPeer, client: Client, effort: Effort) -> Iterator[Reading]:
    server, seconds = peer.server, max(effort.seconds, stressors.HOLD_SECONDS)
    # Never the same twice in a row: that would be no swap.
    networks = cycle([stressors.prefix_list(effort.prefixes - shorter) for shorter in range(2)])
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += stressors.call_api(server, CALLS, seconds)

    kinds: dict[str, Callable[[], None]] = {
        UNDISTURBED: lambda: time.sleep(seconds),
        "interpreter held for 1 s": lambda: stressors.hold_gil(server),
        "garbage collected for 1 s": lambda: stressors.collect_garbage(server),
        f"{CALLS} API calls per second": call,
        f"policy of {effort.prefixes} prefixes swapped in": lambda: stressors.swap_policy(server, next(networks)),
    }
    seen = {name: Seen() for name in kinds}
    for _ in range(REPEATS):
        for name, disturb in kinds.items():
            pings, began = ContinuousPing(client, peer.inner_ipv4, interval=PINGS), time.monotonic()
            _watch(peer, seen[name], disturb)
            seen[name].times += pings.round_trips(began)
            seen[name].lost += len(pings.missing())
    for name, found in seen.items():
        share = 100 * found.rate / seen[UNDISTURBED].rate
        yield Reading(f"{name}: throughput at {CLIENTS * RATE:g} Mbit/s", "% of undisturbed", share, True)
        for percent in 50, 99:
            value = 1e6 * statistics.quantiles(found.times, n=100)[percent - 1]
            yield Reading(f"{name}: round trip p{percent}", "us", value)
        yield Reading(f"{name}: pings lost", "", found.lost)
    yield Reading("API calls answered, of those asked for", "%", 100 * calls / (CALLS * seconds * REPEATS), True)


def _watch(peer: Peer, seen: Seen, work: Callable[[], None]) -> None:
    """Counts what came out of the device while it was done."""
    before, began = socket_drops(peer.network.gateway, SINK), time.monotonic()
    work()
    seen.packets += socket_drops(peer.network.gateway, SINK) - before
    seen.seconds += time.monotonic() - began
