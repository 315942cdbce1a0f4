# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of open sessions: what each costs while their number grows tenfold, and whether another client notices."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from bench import load_client
from bench.peers import MAX_CLIENTS, OurPeer
from bench.workload import Sample, Scale, Workload
from bench.workloads.openconnect import tunnel
from lab.traffic.continuous_ping import ContinuousPing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer
    from lab.processes.programs import Program

THREADS = 8  # that log in at once
WARM = 40  # sessions before the first reading
SPARE = 100  # clients that may connect beside the crowd
PINGS = 0.02  # seconds between two
IDLE_SECONDS = 10.0  # at least: less than a few ticks of a second would measure chance


def crowd(transport: str) -> Workload:
    """A tenth of the sessions opens, then the rest in one storm, beside a client that pings. ocsentry only."""
    dtls = transport == "dtls"
    channels = "TLS and DTLS" if dtls else "TLS"

    def measure(peer: Peer, scale: Scale) -> Iterator[Sample]:
        if not isinstance(peer, OurPeer):
            return  # a process for each session: the machine's memory would not do
        peer.max_clients = scale.crowd + SPARE
        peer.restart()
        programs: list[Program] = []
        try:
            with tunnel(peer, peer.second_host, dtls=dtls) as canary:
                pings = ContinuousPing(canary, peer.inner_ipv4, interval=PINGS)
                _open(peer, programs, WARM, dtls=dtls)
                for count in scale.crowd // 10 - WARM, scale.crowd - scale.crowd // 10:
                    yield from _grow(peer, programs, count, pings, scale, channels=channels)
                yield Sample(f"pings lost beside the crowd ({channels})", "", len(pings.missing()))
        finally:
            for program in programs:
                load_client.end(program)
            peer.max_clients = MAX_CLIENTS
            peer.restart()

    return measure


def _grow(
    peer: Peer, programs: list[Program], count: int, pings: ContinuousPing, scale: Scale, *, channels: str
) -> Iterator[Sample]:
    memory, spent, began = peer.memory(), peer.cpu(), time.monotonic()
    opened = _open(peer, programs, count, dtls="DTLS" in channels)
    seconds = time.monotonic() - began
    times = pings.round_trips(began)
    peer.settle()
    logins = peer.cpu() - spent
    total = sum(load_client.await_open(program, 0) for program in programs)
    name = f"{total} sessions ({channels})"
    yield Sample(f"{name}: opened, of those asked for", "%", 100 * opened / count, more_is_better=True)
    yield Sample(f"{name}: memory of each new one", "KB", (peer.memory() - memory) / opened / 1024)
    yield Sample(f"{name}: memory of the server", "MB", peer.memory() / 1e6)
    yield Sample(f"{name}: opened", "per second", opened / seconds, more_is_better=True)
    yield Sample(f"{name}: server CPU of a login", "ms", 1e3 * logins / opened)
    if len(times) > 1:
        beside = f"{name}: round trip of another client while they opened"
        yield Sample(f"{beside}, median", "us", 1e6 * statistics.median(times))
        yield Sample(f"{beside}, longest", "us", 1e6 * max(times))
    spent, began = peer.cpu(), time.monotonic()
    time.sleep(max(scale.seconds, IDLE_SECONDS))
    idle = (peer.cpu() - spent) / (time.monotonic() - began)
    yield Sample(f"{name}: server CPU while idle, a thousand", "% of a core", 100 * idle / total * 1000)


def _open(peer: Peer, programs: list[Program], count: int, *, dtls: bool) -> int:
    program = load_client.start("hold", peer.host.namespace, peer, threads=THREADS, amount=count, dtls=dtls)
    programs.append(program)
    return load_client.await_open(program, count)
