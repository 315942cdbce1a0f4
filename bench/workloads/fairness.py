# SPDX-License-Identifier: GPL-3.0-or-later
"""Fairness: clients at a fixed rate, alone and then beside a greedy uploader or a client that does not read."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench import load_client
from bench.drops import socket_drops
from bench.workload import Sample, Scale, Workload
from bench.workloads.saturation import PACKET, SINK, pulling, pushing, sink, source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from bench.peers import Peer
    from lab.processes.programs import Program

OTHERS = 8
RATE = 20.0  # Mbit/s of each; together a fifth of either server's capacity
SLOW_RATE = 100.0  # Mbit/s requested by the client that does not read
OTHERS_SINK = 10  # UDP port inside


def greedy_uploader(transport: str) -> Workload:
    """One client sends at full speed while the others send at their rate."""
    dtls = transport == "dtls"

    def measure(peer: Peer, scale: Scale) -> Iterator[Sample]:
        name = f"greedy uploader, {transport.upper()}"
        others = pushing(peer, OTHERS, dtls=dtls, rate=RATE, port=OTHERS_SINK)
        with sink(peer, SINK), sink(peer, OTHERS_SINK), others as load:

            def delivered() -> float:
                arrived = partial(socket_drops, peer.network.gateway, OTHERS_SINK)
                flow = load_client.observe(load, scale.seconds, arrived)
                return flow.others[0] * PACKET / flow.seconds

            yield from _cost(name, delivered, lambda: pushing(peer, 1, dtls=dtls))

    return measure


def slow_reader(transport: str) -> Workload:
    """One client requests data and never reads it, while the others download at their rate."""
    dtls = transport == "dtls"

    def measure(peer: Peer, scale: Scale) -> Iterator[Sample]:
        with source(peer), pulling(peer, OTHERS, dtls=dtls, rate=RATE) as load:

            def delivered() -> float:
                flow = load_client.observe(load, scale.seconds)
                return flow.bytes / flow.seconds

            yield from _cost(
                f"slow reader, {transport.upper()}",
                delivered,
                lambda: pulling(peer, 1, dtls=dtls, rate=SLOW_RATE, reads=False),
            )

    return measure


def _cost(
    name: str, delivered: Callable[[], float], offender: Callable[[], AbstractContextManager[Program]]
) -> Iterator[Sample]:
    alone = delivered()
    with offender():
        beside = delivered()
    yield Sample(f"{name}: {OTHERS} others at {RATE:g} Mbit/s lose", "%", max(0.0, 100 * (1 - beside / alone)))
