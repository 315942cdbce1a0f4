# SPDX-License-Identifier: GPL-3.0-or-later
"""UDP at a fixed rate through the tunnel of the real client, and who lost what did not arrive.

    up:   iperf3 > [client's device] client > wire > [server's socket] server > [its device] > [iperf3's socket]
    down: iperf3 > [server's device] server > wire > [client's socket] client > [its device] > [iperf3's socket]

In brackets what the kernel drops where a program does not keep up. What neither has dropped was lost in iperf3's own
socket, or inside of a program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.drops import socket_drops, tunnel_drops
from bench.measures.openconnect import iperf, iperf_server, tunnel
from bench.readings import Effort, Measure, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer
    from tests.e2e.lab.namespaces import Namespace

VPN_PORT = 443
PAYLOAD = 1200  # bytes of one datagram


def datagram_loss(direction: str, megabits: int) -> Measure:
    """Over DTLS; shares of all that iperf3 sent."""

    def measure(peer: Peer, effort: Effort) -> Iterator[Reading]:
        way = ["-R"] if direction == "down" else []
        with tunnel(peer, peer.host, dtls=True), iperf_server(peer):
            sides = {"server": peer.site.gateway, "client": peer.host.namespace}
            before = {side: _dropped(place) for side, place in sides.items()}
            asked = ("-u", "-b", f"{megabits}M", "-l", str(PAYLOAD), "-t", f"{effort.seconds:g}", *way)
            end = iperf(peer, peer.host, *asked)["end"]
            dropped = {side: _dropped(place) - before[side] for side, place in sides.items()}
        total, seconds = end["sum"]["packets"], end["sum"]["seconds"]
        lost = end["sum"]["lost_packets"]
        name = f"UDP at {megabits} Mbit/s, DTLS {direction}"
        yield Reading(f"{name}: arrived", "Mbit/s", (total - lost) * PAYLOAD * 8 / seconds / 1e6, more_is_better=True)
        yield Reading(f"{name}: lost", "%", 100 * lost / max(1, total))
        for side, count in dropped.items():
            yield Reading(f"{name}: lost before the {side} took it", "%", 100 * count / max(1, total))

    return measure


def _dropped(place: Namespace) -> int:
    return socket_drops(place, VPN_PORT) + tunnel_drops(place)
