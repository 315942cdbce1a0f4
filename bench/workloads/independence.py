# SPDX-License-Identifier: GPL-3.0-or-later
"""Throughput and round trips of tunnels while the server's Python is stuck or busy.

A held GIL uses no processor time, so its effect is measured at full load. The other stressors use processor time, which
tunnels at full load would lose; so all stressors are measured at a rate that leaves processor time for them.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING

from bench.drops import socket_drops
from bench.peers import OurPeer
from bench.workload import Sample, Scale
from bench.workloads.openconnect import tunnel
from bench.workloads.saturation import SINK, pushing, sink
from lab.processes import stressors
from lab.traffic.continuous_ping import ContinuousPing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.peers import Client, Peer

WARM = 0.5  # seconds of traffic before the measurement
REPEATS = 4  # of every stressor, alternating, so that variation over time affects all alike
CLIENTS, RATE = 4, 25.0  # tunnels, Mbit/s of each
CALLS = 1000  # API calls per second
PINGS = 0.002  # seconds between two
UNDISTURBED = "undisturbed"


@dataclass(slots=True)
class Observation:
    """Packets, seconds and round trips beside one stressor, summed over its repetitions."""

    packets: int = 0
    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    lost: int = 0

    @property
    def rate(self) -> float:
        return self.packets / self.seconds


def independence(peer: Peer, scale: Scale) -> Iterator[Sample]:
    if not isinstance(peer, OurPeer):
        return  # ocserv has no interpreter
    peer.restart(launcher=stressors.LAUNCHER)
    with sink(peer, SINK), tunnel(peer, peer.second_host, dtls=False) as client:
        with pushing(peer, 2, dtls=False):
            time.sleep(WARM)
            quiet, held = Observation(), Observation()
            for _ in range(REPEATS):
                _watch(peer, quiet, lambda: time.sleep(stressors.HOLD_SECONDS))
                _watch(peer, held, lambda: stressors.hold_gil(peer.server))
        share = 100 * held.rate / quiet.rate
        yield Sample("interpreter held for 1 s: throughput at full load", "% of undisturbed", share, True)
        with pushing(peer, CLIENTS, dtls=False, rate=RATE):
            time.sleep(WARM)
            yield from _at_rate(peer, client, scale)
    peer.restart()


def _at_rate(peer: OurPeer, client: Client, scale: Scale) -> Iterator[Sample]:
    server, seconds = peer.server, max(scale.seconds, stressors.HOLD_SECONDS)
    # Alternating, because the same policy twice would be no swap.
    networks = cycle([stressors.prefix_list(scale.prefixes - shorter) for shorter in range(2)])
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += stressors.call_api(server, CALLS, seconds)

    kinds: dict[str, Callable[[], None]] = {
        UNDISTURBED: lambda: time.sleep(seconds),
        "interpreter held for 1 s": lambda: stressors.hold_gil(server),
        "garbage collected for 1 s": lambda: stressors.collect_garbage(server),
        f"{CALLS} API calls per second": call,
        f"policy of {scale.prefixes} prefixes swapped in": lambda: stressors.swap_policy(server, next(networks)),
    }
    seen = {name: Observation() for name in kinds}
    for _ in range(REPEATS):
        for name, disturb in kinds.items():
            pings, began = ContinuousPing(client, peer.inner_ipv4, interval=PINGS), time.monotonic()
            _watch(peer, seen[name], disturb)
            seen[name].times += pings.round_trips(began)
            seen[name].lost += len(pings.missing())
    for name, found in seen.items():
        share = 100 * found.rate / seen[UNDISTURBED].rate
        yield Sample(f"{name}: throughput at {CLIENTS * RATE:g} Mbit/s", "% of undisturbed", share, True)
        for percent in 50, 99:
            value = 1e6 * statistics.quantiles(found.times, n=100)[percent - 1]
            yield Sample(f"{name}: round trip p{percent}", "us", value)
        yield Sample(f"{name}: pings lost", "", found.lost)
    yield Sample("API calls answered, of those asked for", "%", 100 * calls / (CALLS * seconds * REPEATS), True)


def _watch(peer: Peer, seen: Observation, work: Callable[[], None]) -> None:
    """Adds the packets that left the TUN device while ``work`` ran."""
    before, began = socket_drops(peer.network.gateway, SINK), time.monotonic()
    work()
    seen.packets += socket_drops(peer.network.gateway, SINK) - before
    seen.seconds += time.monotonic() - began
