# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory and processor time of open, idle sessions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench import load_client
from bench.workload import Sample, Scale, Workload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer

THREADS = 8  # that open sessions in parallel
WARM = 40  # sessions before the first reading


def memory(transport: str) -> Workload:
    """In a fresh process, so that no freed memory hides a session's; then the cost of idle sessions."""

    def measure(peer: Peer, scale: Scale) -> Iterator[Sample]:
        dtls = transport == "dtls"
        peer.restart()
        programs = []
        try:
            for count in WARM, scale.sessions:
                before = peer.memory()
                program = load_client.start("hold", peer.host.namespace, peer, threads=THREADS, amount=count, dtls=dtls)
                programs.append(program)
                opened = load_client.await_open(program, count)
            each = (peer.memory() - before) / opened
            idle = _idle_cost(peer, scale.seconds)
        finally:
            for program in programs:
                load_client.end(program)
        channels = "TLS and DTLS" if dtls else "TLS"
        yield Sample(f"memory per open session ({channels})", "KB", each / 1024)
        yield Sample(f"{scale.sessions} idle sessions ({channels}): server CPU", "% of a core", 100 * idle)
        if opened < scale.sessions:
            yield Sample(f"sessions that opened ({channels})", "", opened, more_is_better=True)
        peer.restart()

    return measure


def _idle_cost(peer: Peer, seconds: float) -> float:
    """Returns processor seconds per second, after the server has written the logins to its journal."""
    peer.settle()
    spent, began = peer.cpu(), time.monotonic()
    time.sleep(seconds)
    return (peer.cpu() - spent) / (time.monotonic() - began)
