# SPDX-License-Identifier: GPL-3.0-or-later
"""Throughput and round trips through the tunnel of the real client."""

from __future__ import annotations

import json
import re
import statistics
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bench.workload import Sample, Scale, Workload
from lab.processes.programs import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Client, Peer
    from lab.network import Host

GB = 1e9
PING_INTERVAL = 0.002  # seconds


def throughput(transport: str, direction: str) -> Workload:
    """TCP through one client's tunnel, ``up`` from it or ``down`` to it."""

    def measure(peer: Peer, scale: Scale) -> Iterator[Sample]:
        with tunnel(peer, peer.host, dtls=transport == "dtls"), iperf_server(peer):
            before = peer.cpu()
            report = iperf(peer, peer.host, "-t", f"{scale.seconds:g}", *(["-R"] if direction == "down" else []))
            spent = peer.cpu() - before
        received = report["end"]["sum_received"]
        name = f"one client, {transport.upper()} {direction}"
        yield Sample(name, "MB/s", received["bytes"] / received["seconds"] / 1e6, more_is_better=True)
        yield Sample(f"{name}: server CPU per GB", "s", spent / (received["bytes"] / GB))

    return measure


def latency(transport: str) -> Workload:
    """Pings of one client, alone, then beside another one that uploads or downloads at full speed."""
    dtls = transport == "dtls"
    name = f"round trip, {transport.upper()}"

    def measure(peer: Peer, scale: Scale) -> Iterator[Sample]:
        with tunnel(peer, peer.host, dtls=dtls) as client:
            yield from _samples(f"{name}, idle", client, peer, scale)
            with tunnel(peer, peer.second_host, dtls=dtls):
                for beside, options in ("uploading", []), ("downloading", ["-R"]):
                    with iperf_server(peer), _iperf_running(peer, peer.second_host, *options):
                        samples = [*_samples(f"{name}, another client {beside}", client, peer, scale)]
                    yield from samples

    return measure


@contextmanager
def tunnel(peer: Peer, host: Host, *, dtls: bool) -> Iterator[Client]:
    client = peer.connect(host, dtls=dtls)
    try:
        yield client
    finally:
        client.goodbye()


@contextmanager
def iperf_server(peer: Peer) -> Iterator[None]:
    server = Program("iperf3 server", ["iperf3", "-s", "-B", peer.inner_ipv4, "--forceflush"], peer.network.gateway)
    try:
        server.await_line(r"listening", 5)
        yield
    finally:
        server.kill()


def iperf(peer: Peer, host: Host, *arguments: str) -> dict[str, Any]:
    text = host.namespace.run("iperf3", "-c", peer.inner_ipv4, "-J", *arguments, timeout=120)
    return json.loads(text)


@contextmanager
def _iperf_running(peer: Peer, host: Host, *options: str) -> Iterator[None]:
    command = ["iperf3", "-c", peer.inner_ipv4, "--forceflush", "-t", "60", *options]
    load = Program("iperf3", command, host.namespace)
    try:
        load.await_line(r"connected to", 10)
        yield
    finally:
        load.kill()


def _samples(name: str, client: Client, peer: Peer, scale: Scale) -> Iterator[Sample]:
    for statistic, value in _round_trips(client, peer, scale).items():
        yield Sample(f"{name}: {statistic}", "us", value)


def _round_trips(client: Client, peer: Peer, scale: Scale) -> dict[str, float]:
    """Returns median and 99th percentile in microseconds."""
    text = client.host.namespace.run(
        *("ping", "-n", "-c", str(scale.pings), "-i", str(PING_INTERVAL), peer.inner_ipv4), timeout=120, check=False
    )
    times = [1e3 * float(ms) for ms in re.findall(r"time=([\d.]+) ms", text)]
    if len(times) < scale.pings / 2:
        raise RuntimeError(f"{peer.label}: {len(times)} of {scale.pings} pings answered")
    return {"median": statistics.median(times), "p99": statistics.quantiles(times, n=100)[98]}
