# SPDX-License-Identifier: GPL-3.0-or-later
"""What open sessions hold and cost while nobody uses them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench import load_client
from bench.readings import Effort, Measure, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer

THREADS = 8  # that open sessions
WARM = 40  # sessions before the first look


def memory(transport: str) -> Measure:
    """Of a fresh process, so that no memory freed before hides what a session takes; then what idling costs."""

    def measure(peer: Peer, effort: Effort) -> Iterator[Reading]:
        dtls = transport == "dtls"
        peer.restart()
        programs = []
        try:
            for count in WARM, effort.sessions:
                before = peer.memory()
                program = load_client.start("hold", peer.host.namespace, peer, threads=THREADS, amount=count, dtls=dtls)
                programs.append(program)
                opened = load_client.await_open(program, count)
            each = (peer.memory() - before) / opened
            idle = _idle_cost(peer, effort.seconds)
        finally:
            for program in programs:
                load_client.end(program)
        channels = "TLS and DTLS" if dtls else "TLS"
        yield Reading(f"memory per open session ({channels})", "KB", each / 1024)
        yield Reading(f"{effort.sessions} idle sessions ({channels}): server CPU", "% of a core", 100 * idle)
        if opened < effort.sessions:
            yield Reading(f"sessions that opened ({channels})", "", opened, more_is_better=True)
        peer.restart()

    return measure


def _idle_cost(peer: Peer, seconds: float) -> float:
    """Seconds of processor time in one, once the server has written down the logins there were."""
    peer.settle()
    spent, began = peer.cpu(), time.monotonic()
    time.sleep(seconds)
    return (peer.cpu() - spent) / (time.monotonic() - began)
