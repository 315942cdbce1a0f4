# SPDX-License-Identifier: GPL-3.0-or-later
"""UDP at a fixed rate through the tunnel of the real client, and who lost what did not arrive.

    up:   iperf3 > [client's device] client > wire > [server's socket] server > [its device] > [iperf3's socket]
    down: iperf3 > [server's device] server > wire > [client's socket] client > [its device] > [iperf3's socket]

In brackets where the kernel drops what a program does not take in time. The rest was lost inside of a program.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bench.drops import socket_drops, tunnel_drops, udp_counter
from bench.measures.openconnect import iperf, iperf_server, tunnel
from bench.placement import apart, roomy_sockets, widen_tunnels
from bench.readings import Effort, Measure, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer

VPN_PORT = 443
PAYLOAD = 1200  # bytes of one datagram
SOCKET_BUFFER = 4 << 20  # bytes; iperf3 asks for its sockets what the system grants, as it gives up where it gets less
BUFFER_LIMITS = ("/proc/sys/net/core/rmem_max", "/proc/sys/net/core/wmem_max")


def datagram_loss(direction: str, megabits: int, *, tuned: bool = False) -> Measure:
    """Over DTLS; shares of all that iperf3 sent. ``tuned``: the client has room for what comes while it does not
    run, and processors that no server uses."""

    def measure(peer: Peer, effort: Effort) -> Iterator[Reading]:
        way = ["-R"] if direction == "down" else []
        window = str(min(SOCKET_BUFFER, *(int(Path(limit).read_text()) for limit in BUFFER_LIMITS)))
        asked = ("-u", "-b", f"{megabits}M", "-l", str(PAYLOAD), "-w", window, "-t", f"{effort.seconds:g}", *way)
        with ExitStack() as stack:
            with roomy_sockets() if tuned else ExitStack():
                stack.enter_context(tunnel(peer, peer.host, dtls=True))
            stack.enter_context(iperf_server(peer))
            if tuned:
                widen_tunnels(peer.host.namespace)
                stack.enter_context(apart(peer))
            before = _dropped(peer, direction)
            end = iperf(peer, peer.host, *asked)["end"]
            dropped = {taker: count - before[taker] for taker, count in _dropped(peer, direction).items()}
        total, seconds = end["sum"]["packets"], end["sum"]["seconds"]
        lost = end["sum"]["lost_packets"]
        name = f"UDP at {megabits} Mbit/s, DTLS {direction}{', client tuned' if tuned else ''}"
        yield Reading(f"{name}: arrived", "Mbit/s", (total - lost) * PAYLOAD * 8 / seconds / 1e6, more_is_better=True)
        yield Reading(f"{name}: lost", "%", 100 * lost / max(1, total))
        for taker, count in dropped.items():
            yield Reading(f"{name}: lost before {taker} took it", "%", 100 * count / max(1, total))

    return measure


def _dropped(peer: Peer, direction: str) -> dict[str, int]:
    """By who did not take it. iperf3's sockets are gone before one can ask them: theirs is what no other socket had."""
    gateway, host = peer.network.gateway, peer.host.namespace
    end = gateway if direction == "up" else host
    return {
        "the server": socket_drops(gateway, VPN_PORT) + tunnel_drops(gateway),
        "the client": socket_drops(host, VPN_PORT) + tunnel_drops(host),
        "iperf3": udp_counter(end, "RcvbufErrors") - socket_drops(end, VPN_PORT),
    }
