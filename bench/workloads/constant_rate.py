# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets that the server itself loses at a fixed rate.

The load client and the ends behind the server have buffers for all packets and count every one. So a missing packet was
lost in the server, or in its socket or device because the server did not read it in time.
"""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench import load_client
from bench.drops import socket_drops
from bench.workload import Sample, Scale, Workload
from bench.workloads.saturation import PACKET, pulling, pushing, source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.load_client import TrafficSample
    from bench.peers import Peer

SINK = 11  # UDP port inside
STILL = 0.2  # seconds without an arrival after which counting ends


def steady(direction: str, megabits: int) -> Workload:
    """Over DTLS, one session."""
    move = _push if direction == "up" else _pull

    def measure(peer: Peer, scale: Scale) -> Iterator[Sample]:
        flow, sent, arrived = move(peer, scale.seconds, megabits)
        lost = (sent - arrived) / max(1, sent)
        moved = flow.packets * PACKET * 8 / flow.seconds / 1e6 * (1.0 if direction == "down" else 1 - lost)
        name = f"load client at {megabits} Mbit/s, DTLS {direction}"
        yield Sample(f"{name}: arrived", "Mbit/s", moved, more_is_better=True)
        yield Sample(f"{name}: lost in the server", "%", 100 * lost)

    return measure


def _push(peer: Peer, seconds: float, megabits: int) -> tuple[TrafficSample, int, int]:
    """Returns the sampled traffic, and all packets of the run: sent, arrived."""
    with _count_arrivals(peer) as arrivals:
        with pushing(peer, 1, dtls=True, rate=megabits, port=SINK) as program:
            flow = load_client.observe(program, seconds)
            done = load_client.end(program)
        return flow, done.count, arrivals()


def _pull(peer: Peer, seconds: float, megabits: int) -> tuple[TrafficSample, int, int]:
    with source(peer), pulling(peer, 1, dtls=True, rate=megabits) as program:
        flow = load_client.observe(program, seconds)
        done = load_client.end(program)
    return flow, done.asked, done.count


@contextmanager
def _count_arrivals(peer: Peer) -> Iterator[Callable[[], int]]:
    """A socket that is read at the end only: it keeps the first packets, and the kernel counts the rest as drops."""
    with peer.network.gateway.socket(kind=socket.SOCK_DGRAM) as taker:
        taker.bind(("0.0.0.0", SINK))
        taker.setblocking(False)

        def arrivals() -> int:
            dropped = -1
            while (now := socket_drops(peer.network.gateway, SINK)) != dropped:
                dropped = now
                time.sleep(STILL)
            return dropped + _drain(taker)

        yield arrivals


def _drain(taker: socket.socket) -> int:
    kept = 0
    while True:
        try:
            taker.recv(PACKET)
        except BlockingIOError:
            return kept
        kept += 1
