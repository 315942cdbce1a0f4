# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server itself loses of traffic at a fixed rate.

The load client has room for all that comes and counts every packet, and so do the ends behind the server. So what does
not arrive was lost on the way into the server, in it, or on the way out of it: in its socket or its device because it
did not read them in time, or because it dropped a packet.
"""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench import load_client
from bench.drops import socket_drops
from bench.measures.saturation import PACKET, pulling, pushing, source
from bench.readings import Effort, Measure, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.load_client import Flow
    from bench.peers import Peer

SINK = 11  # UDP port inside
STILL = 0.2  # seconds without an arrival after which there are no more


def steady(direction: str, megabits: int) -> Measure:
    """Over DTLS, one session."""
    move = _push if direction == "up" else _pull

    def measure(peer: Peer, effort: Effort) -> Iterator[Reading]:
        flow, sent, arrived = move(peer, effort.seconds, megabits)
        lost = (sent - arrived) / max(1, sent)
        moved = flow.packets * PACKET * 8 / flow.seconds / 1e6 * (1.0 if direction == "down" else 1 - lost)
        name = f"load client at {megabits} Mbit/s, DTLS {direction}"
        yield Reading(f"{name}: arrived", "Mbit/s", moved, more_is_better=True)
        yield Reading(f"{name}: lost in the server", "%", 100 * lost)

    return measure


def _push(peer: Peer, seconds: float, megabits: int) -> tuple[Flow, int, int]:
    """What was seen of the traffic, and all packets from the first to the last, sent and arrived."""
    with _count_arrivals(peer) as arrivals:
        with pushing(peer, 1, dtls=True, rate=megabits, port=SINK) as program:
            flow = load_client.observe(program, seconds)
            done = load_client.end(program)
        return flow, done.count, arrivals()


def _pull(peer: Peer, seconds: float, megabits: int) -> tuple[Flow, int, int]:
    with source(peer), pulling(peer, 1, dtls=True, rate=megabits) as program:
        flow = load_client.observe(program, seconds)
        done = load_client.end(program)
    return flow, done.asked, done.count


@contextmanager
def _count_arrivals(peer: Peer) -> Iterator[Callable[[], int]]:
    """A socket that nobody reads until all is over: it keeps the first packets, and the kernel counts the others."""
    with peer.network.gateway.socket(kind=socket.SOCK_DGRAM) as taker:
        taker.bind(("0.0.0.0", SINK))
        taker.setblocking(False)

        def arrivals() -> int:
            turned_away = -1
            while (now := socket_drops(peer.network.gateway, SINK)) != turned_away:
                turned_away = now
                time.sleep(STILL)
            return turned_away + _drain(taker)

        yield arrivals


def _drain(taker: socket.socket) -> int:
    kept = 0
    while True:
        try:
            taker.recv(PACKET)
        except BlockingIOError:
            return kept
        kept += 1
