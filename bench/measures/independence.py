# SPDX-License-Identifier: GPL-3.0-or-later
"""What tunnels notice of a Python that is stuck or busy: throughput and round trips beside each disturbance.

A held interpreter lock takes no processor time, so what it costs shows at full load. The others work, and where tunnels
already use the whole machine their work is the tunnels' loss; so all are shown at a rate that leaves room for them.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from bench.drops import socket_drops
from bench.measures.openconnect import PING_INTERVAL, tunnel
from bench.measures.saturation import PACKET, SINK, pushing, sink
from bench.peers import OurPeer
from bench.readings import Effort, Reading
from tests.e2e.lab import disturbances
from tests.e2e.lab.pings import Pings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.peers import Client, Peer

WARM = 0.5  # seconds of traffic before the first look
CLIENTS, RATE = 4, 25.0  # tunnels, Mbit/s of each
CALLS = 1000  # API calls per second


def independence(peer: Peer, effort: Effort) -> Iterator[Reading]:
    if not isinstance(peer, OurPeer):
        return  # ocserv runs no interpreter
    peer.restart(launcher=disturbances.LAUNCHER)
    with sink(peer, SINK), tunnel(peer, peer.second_host, dtls=False) as client:
        with pushing(peer, 2, dtls=False):
            time.sleep(WARM)
            quiet = _rate(peer, lambda: time.sleep(effort.seconds))
            held = _rate(peer, lambda: disturbances.hold_interpreter(peer.server))
        yield Reading("interpreter held for 1 s: throughput at full load", "% of undisturbed", 100 * held / quiet, True)
        with pushing(peer, CLIENTS, dtls=False, rate=RATE):
            time.sleep(WARM)
            yield from _at_rate(peer, client, effort)
    peer.restart()


def _at_rate(peer: OurPeer, client: Client, effort: Effort) -> Iterator[Reading]:
    server, seconds = peer.server, max(effort.seconds, disturbances.HOLD_SECONDS)
    networks = disturbances.prefix_list(effort.prefixes)
    calls = 0

    def call() -> None:
        nonlocal calls
        calls = disturbances.call_api(server, CALLS, seconds)

    kinds: dict[str, Callable[[], None]] = {
        "undisturbed": lambda: time.sleep(seconds),
        "interpreter held for 1 s": lambda: disturbances.hold_interpreter(server),
        "garbage collected for 1 s": lambda: disturbances.collect_garbage(server),
        f"{CALLS} API calls per second": call,
        f"policy of {effort.prefixes} prefixes swapped in": lambda: disturbances.swap_policy(server, networks),
    }
    quiet = 0.0
    for name, disturb in kinds.items():
        pings, began = Pings(client, peer.inner_ipv4, interval=PING_INTERVAL), time.monotonic()
        rate = _rate(peer, disturb)
        times, lost = pings.times(began), len(pings.missing())
        quiet = quiet or rate
        yield Reading(f"{name}: throughput at {CLIENTS * RATE:g} Mbit/s", "% of undisturbed", 100 * rate / quiet, True)
        yield Reading(f"{name}: round trip p99", "us", 1e6 * statistics.quantiles(times, n=100)[98])
        yield Reading(f"{name}: pings lost", "", lost)
    yield Reading("API calls answered, of those asked for", "%", 100 * calls / (CALLS * seconds), True)


def _rate(peer: Peer, work: Callable[[], None]) -> float:
    """Bytes per second that came out of the device while it was done."""
    before, began = socket_drops(peer.site.gateway, SINK), time.monotonic()
    work()
    arrived = socket_drops(peer.site.gateway, SINK) - before
    return arrived * PACKET / (time.monotonic() - began)
