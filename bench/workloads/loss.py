# SPDX-License-Identifier: GPL-3.0-or-later
"""UDP at a fixed rate through the real client's tunnel, and where packets were lost.

    up:   iperf3 > [client's device] client > wire > [server's socket] server > [its device] > [iperf3's socket]
    down: iperf3 > [server's device] server > wire > [client's socket] client > [its device] > [iperf3's socket]

In brackets: queues in which the kernel drops what a program does not read in time. Other losses are inside a program.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bench.client_tuning import large_socket_buffers, lengthen_tun_queues, separate_cores
from bench.drops import socket_drops, tunnel_drops, udp_counter
from bench.workload import Sample, Scale, Workload
from bench.workloads.openconnect import iperf, iperf_server, tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer

VPN_PORT = 443
PAYLOAD = 1200  # bytes of one datagram
SOCKET_BUFFER = 4 << 20  # bytes, at most what the system grants: iperf3 fails if it gets less
BUFFER_LIMITS = ("/proc/sys/net/core/rmem_max", "/proc/sys/net/core/wmem_max")


def datagram_loss(direction: str, megabits: int, *, tuned: bool = False) -> Workload:
    """Over DTLS; shares of all that iperf3 sent. ``tuned``: see ``client_tuning``."""

    def measure(peer: Peer, scale: Scale) -> Iterator[Sample]:
        way = ["-R"] if direction == "down" else []
        window = str(min(SOCKET_BUFFER, *(int(Path(limit).read_text()) for limit in BUFFER_LIMITS)))
        asked = ("-u", "-b", f"{megabits}M", "-l", str(PAYLOAD), "-w", window, "-t", f"{scale.seconds:g}", *way)
        with ExitStack() as stack:
            with large_socket_buffers() if tuned else ExitStack():
                stack.enter_context(tunnel(peer, peer.host, dtls=True))
            stack.enter_context(iperf_server(peer))
            if tuned:
                lengthen_tun_queues(peer.host.namespace)
                stack.enter_context(separate_cores(peer))
            before = _dropped(peer, direction)
            end = iperf(peer, peer.host, *asked)["end"]
            dropped = {taker: count - before[taker] for taker, count in _dropped(peer, direction).items()}
        total, seconds = end["sum"]["packets"], end["sum"]["seconds"]
        lost = end["sum"]["lost_packets"]
        name = f"UDP at {megabits} Mbit/s, DTLS {direction}{', client tuned' if tuned else ''}"
        yield Sample(f"{name}: arrived", "Mbit/s", (total - lost) * PAYLOAD * 8 / seconds / 1e6, more_is_better=True)
        yield Sample(f"{name}: lost", "%", 100 * lost / max(1, total))
        for taker, count in dropped.items():
            yield Sample(f"{name}: lost before {taker} took it", "%", 100 * count / max(1, total))

    return measure


def _dropped(peer: Peer, direction: str) -> dict[str, int]:
    """Drops by the program that did not read. iperf3's sockets are closed by then: theirs are all other drops."""
    gateway, host = peer.network.gateway, peer.host.namespace
    end = gateway if direction == "up" else host
    return {
        "the server": socket_drops(gateway, VPN_PORT) + tunnel_drops(gateway),
        "the client": socket_drops(host, VPN_PORT) + tunnel_drops(host),
        "iperf3": udp_counter(end, "RcvbufErrors") - socket_drops(end, VPN_PORT),
    }
