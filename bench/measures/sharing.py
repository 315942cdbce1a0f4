# SPDX-License-Identifier: GPL-3.0-or-later
"""What one client costs the others: moderate ones at a fixed rate, alone and then beside a greedy or a slow one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench import load_client
from bench.drops import socket_drops
from bench.measures.saturation import PACKET, SINK, pulling, pushing, sink, source
from bench.readings import Effort, Measure, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from bench.peers import Peer
    from lab.programs import Program

OTHERS = 8
RATE = 20.0  # Mbit/s of each; a fifth of what either server can move in all
SLOW_RATE = 100.0  # Mbit/s asked for by the one that reads nothing
OTHERS_SINK = 10  # UDP port inside


def greedy_uploader(transport: str) -> Measure:
    """One sends as fast as the server takes it while the others send at their rate."""
    dtls = transport == "dtls"

    def measure(peer: Peer, effort: Effort) -> Iterator[Reading]:
        name = f"greedy uploader, {transport.upper()}"
        others = pushing(peer, OTHERS, dtls=dtls, rate=RATE, port=OTHERS_SINK)
        with sink(peer, SINK), sink(peer, OTHERS_SINK), others as load:

            def delivered() -> float:
                arrived = partial(socket_drops, peer.network.gateway, OTHERS_SINK)
                flow = load_client.observe(load, effort.seconds, arrived)
                return flow.others[0] * PACKET / flow.seconds

            yield from _cost(name, delivered, lambda: pushing(peer, 1, dtls=dtls))

    return measure


def slow_reader(transport: str) -> Measure:
    """One asks for more and more and reads none of it while the others download at their rate."""
    dtls = transport == "dtls"

    def measure(peer: Peer, effort: Effort) -> Iterator[Reading]:
        with source(peer), pulling(peer, OTHERS, dtls=dtls, rate=RATE) as load:

            def delivered() -> float:
                flow = load_client.observe(load, effort.seconds)
                return flow.bytes / flow.seconds

            yield from _cost(
                f"slow reader, {transport.upper()}",
                delivered,
                lambda: pulling(peer, 1, dtls=dtls, rate=SLOW_RATE, reads=False),
            )

    return measure


def _cost(
    name: str, delivered: Callable[[], float], offender: Callable[[], AbstractContextManager[Program]]
) -> Iterator[Reading]:
    alone = delivered()
    with offender():
        beside = delivered()
    yield Reading(f"{name}: {OTHERS} others at {RATE:g} Mbit/s lose", "%", max(0.0, 100 * (1 - beside / alone)))
