# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured on one server at a time. A measure yields named readings; who calls it interleaves the servers."""

from __future__ import annotations

import json
import re
import signal
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import load_client
from bench.peers import OurPeer
from tests.e2e.lab.pings import Pings
from tests.e2e.lab.probes import silent_close
from tests.e2e.lab.programs import Program

if TYPE_CHECKING:
    from bench.peers import Peer
    from tests.e2e.lab.network import Host
    from tests.e2e.lab.openconnect import OpenConnect

GB = 1e9
HANDSHAKE_THREADS = 16  # enough that the server is never without work
SETTLE_SECONDS = 30  # at most
SETTLE_WINDOW = 0.5  # seconds
QUIET = 0.02  # seconds of processor time in a window; the kernel counts in hundredths
PING_INTERVAL = 0.005  # seconds


@dataclass(frozen=True, slots=True)
class Effort:
    """How long and how large; the quick one is for trying the benchmark out."""

    seconds: float = 4.0
    sessions: int = 1000
    pings: int = 600
    udp_megabits: int = 300


@dataclass(frozen=True, slots=True)
class Reading:
    name: str
    unit: str
    value: float
    more_is_better: bool = False


Measure = Callable[["Peer", Effort], Iterator[Reading]]


def handshakes(peer: Peer, effort: Effort) -> Iterator[Reading]:
    yield from _cycles(peer, "handshake", "TLS handshakes", effort)


def logins(peer: Peer, effort: Effort) -> Iterator[Reading]:
    yield from _cycles(peer, "login", "logins to an open tunnel", effort)


def first_logins(peer: Peer, effort: Effort) -> Iterator[Reading]:
    """As if every login were its user's first: each password is verified in full."""
    peer.restart(remember_passwords=False)
    yield from _cycles(peer, "login", "logins, each password verified in full", effort)
    peer.restart()


def _cycles(peer: Peer, mode: str, name: str, effort: Effort) -> Iterator[Reading]:
    before = peer.cpu()
    done = load_client.run(mode, peer.host, peer, threads=HANDSHAKE_THREADS, seconds=effort.seconds)
    settle(peer)  # what is written down later was caused here
    spent = peer.cpu() - before
    yield Reading(name, "per second", done.count / done.seconds, more_is_better=True)
    yield Reading(f"{name}: server CPU each", "ms", 1e3 * spent / max(1, done.count))
    if done.failed:
        yield Reading(f"{name}: failed", "", done.failed)


def throughput(transport: str, direction: str) -> Measure:
    """TCP through the tunnel of one real client, ``up`` from it or ``down`` to it."""

    def measure(peer: Peer, effort: Effort) -> Iterator[Reading]:
        with _tunnel(peer, peer.host, dtls=transport == "dtls"), _iperf_server(peer):
            before = peer.cpu()
            report = _iperf(peer, peer.host, "-t", f"{effort.seconds:g}", *(["-R"] if direction == "down" else []))
            spent = peer.cpu() - before
        received = report["end"]["sum_received"]
        name = f"openconnect, {transport.upper()} {direction}"
        yield Reading(name, "MB/s", received["bytes"] / received["seconds"] / 1e6, more_is_better=True)
        yield Reading(f"{name}: server CPU per GB", "s", spent / (received["bytes"] / GB))

    return measure


def push(peer: Peer, effort: Effort) -> Iterator[Reading]:
    """Two tunnels of the load client send as fast as they can; what counts is what came out of the device."""
    with peer.site.gateway.socket(kind=socket.SOCK_DGRAM) as sink:
        sink.bind(("0.0.0.0", 9))  # never read: full and then dropping, at no cost for the server
        before, arrived = peer.cpu(), _udp_arrived(peer)
        done = load_client.run("push", peer.host, peer, threads=2, seconds=effort.seconds)
        spent, arrived = peer.cpu() - before, _udp_arrived(peer) - arrived
    size = arrived * done.bytes / max(1, done.count)
    yield Reading("load client, TLS up", "MB/s", size / done.seconds / 1e6, more_is_better=True)
    yield Reading("load client, TLS up: server CPU per GB", "s", spent / max(size / GB, 1e-9))


def pull(peer: Peer, effort: Effort) -> Iterator[Reading]:
    """One tunnel of the load client is sent more than it can take; what counts is what reached it."""
    client = load_client.start("pull", peer.host, peer, threads=1, amount=0)
    try:
        inside = json.loads(client.await_line('"tunnel"', 20).text)["tunnel"]
        before = peer.cpu()
        source = Program(
            "load blast", [load_client.BINARY, "blast", inside, "9", "1", f"{effort.seconds:g}"], peer.site.gateway
        )
        sent = load_client.outcome(source, effort.seconds + 30)
        spent = peer.cpu() - before
        client.signal(signal.SIGTERM)
        took = load_client.outcome(client)
    finally:
        if client.running:
            client.kill()
    yield Reading("load client, TLS down", "MB/s", took.bytes / sent.seconds / 1e6, more_is_better=True)
    yield Reading("load client, TLS down: server CPU per GB", "s", spent / max(took.bytes / GB, 1e-9))


def memory(peer: Peer, effort: Effort) -> Iterator[Reading]:
    """Of a fresh process, so that no memory freed before hides what a session takes; then what idling costs."""
    peer.restart()
    warm = load_client.start("hold", peer.host, peer, threads=8, amount=40)
    warm.await_line('"open"', 60)
    before = peer.memory()
    held = load_client.start("hold", peer.host, peer, threads=8, amount=effort.sessions)
    opened = json.loads(held.await_line('"open"', 300).text)["open"]
    each = (peer.memory() - before) / max(1, opened)
    settle(peer)
    spent = peer.cpu()
    began = time.monotonic()
    time.sleep(effort.seconds)
    idle = (peer.cpu() - spent) / (time.monotonic() - began)
    for program in held, warm:
        load_client.end(program)
    yield Reading("memory per open session (TLS)", "KB", each / 1024)
    yield Reading(f"{opened} idle sessions: server CPU", "% of a core", 100 * idle)
    peer.restart()


def settle(peer: Peer) -> None:
    """Until the server has written down what there was before, which would be charged to the next measure."""
    for _ in range(int(SETTLE_SECONDS / SETTLE_WINDOW)):
        before = peer.cpu()
        time.sleep(SETTLE_WINDOW)
        if peer.cpu() - before < QUIET:
            return


def latency(peer: Peer, effort: Effort) -> Iterator[Reading]:
    with _tunnel(peer, peer.host, dtls=False) as client:
        for name, value in _round_trips(client, peer, effort).items():
            yield Reading(f"round trip, idle: {name}", "us", value)
        with _tunnel(peer, peer.second_host, dtls=False), _iperf_server(peer):
            load = _start_iperf(peer, peer.second_host, "-t", "60")
            try:
                load.await_line(r"connected to", 10)
                times = _round_trips(client, peer, effort)
            finally:
                load.kill()
        for name, value in times.items():
            yield Reading(f"round trip, another client uploading: {name}", "us", value)


def datagram_loss(transport: str, direction: str) -> Measure:
    """UDP at a fixed rate through the tunnel of one real client."""

    def measure(peer: Peer, effort: Effort) -> Iterator[Reading]:
        rate = f"{effort.udp_megabits}M"
        with _tunnel(peer, peer.host, dtls=transport == "dtls"), _iperf_server(peer):
            way = ["-R"] if direction == "down" else []
            report = _iperf(peer, peer.host, "-u", "-b", rate, "-l", "1200", "-t", f"{effort.seconds:g}", *way)
        yield Reading(
            f"UDP at {effort.udp_megabits} Mbit/s, {transport.upper()} {direction}: lost",
            "%",
            report["end"]["sum"]["lost_percent"],
        )

    return measure


def connect_flood(peer: Peer, effort: Effort) -> Iterator[Reading]:
    """A stranger connects as fast as it can while another client's tunnel pings."""
    with _tunnel(peer, peer.host, dtls=False) as client:
        pings = Pings(client, peer.inner_ipv4, interval=PING_INTERVAL)
        pings.await_answers(10)
        before = peer.cpu()
        done = load_client.run("connect", peer.second_host, peer, threads=8, seconds=effort.seconds)
        spent = peer.cpu() - before
        answered = pings.answered
        missing = len(pings.missing())
    yield Reading("connect flood: connections taken", "per second", done.count / done.seconds, more_is_better=True)
    yield Reading("connect flood: server CPU each", "us", 1e6 * spent / max(1, done.count))
    yield Reading("connect flood: pings lost beside it", "%", 100 * missing / max(1, answered + missing))


def hello_flood(peer: Peer, effort: Effort) -> Iterator[Reading]:
    """A stranger sends DTLS ClientHellos that belong to no session, while another client's tunnel pings."""
    with _tunnel(peer, peer.host, dtls=False) as client:
        pings = Pings(client, peer.inner_ipv4, interval=PING_INTERVAL)
        pings.await_answers(10)
        before, taken = peer.cpu(), _udp_counter(peer, "InDatagrams")
        done = load_client.run("hello", peer.second_host, peer, threads=1, seconds=effort.seconds)
        spent, taken = peer.cpu() - before, _udp_counter(peer, "InDatagrams") - taken
        answered = pings.answered
        missing = len(pings.missing())
    yield Reading("ClientHello flood: datagrams taken", "per second", taken / done.seconds, more_is_better=True)
    yield Reading("ClientHello flood: server CPU each", "us", 1e6 * spent / max(1, taken))
    yield Reading("ClientHello flood: pings lost beside it", "%", 100 * missing / max(1, answered + missing))


def block(peer: Peer, effort: Effort) -> Iterator[Reading]:
    """From the API request to its answer, when a new connection is refused, and to the client saying why it ends."""
    if not isinstance(peer, OurPeer):
        return  # nothing to compare with: ocserv has no API
    api, cidr = peer.server.api, peer.host.ipv4
    answers, cuts = [], []
    for _ in range(max(3, round(effort.seconds))):
        client = peer.connect(peer.host, dtls=False)
        asked = time.monotonic()
        made = api.block(cidr, "Measured")
        answered = time.monotonic()
        if not silent_close(peer.host):
            raise RuntimeError(f"{cidr} got in after the answer to its block")
        cuts.append(client.await_line("Received server disconnect", 5).at - asked)
        answers.append(answered - asked)
        client.await_exit()
        api.unblock(made["id"])
    yield Reading("block by API: answered and refused at accept", "ms", 1e3 * statistics.median(answers))
    yield Reading("block by API: the client has been told", "ms", 1e3 * statistics.median(cuts))


@contextmanager
def _tunnel(peer: Peer, host: Host, *, dtls: bool) -> Iterator[OpenConnect]:
    client = peer.connect(host, dtls=dtls)
    try:
        yield client
    finally:
        client.goodbye()


@contextmanager
def _iperf_server(peer: Peer) -> Iterator[None]:
    server = Program("iperf3 server", ["iperf3", "-s", "-B", peer.inner_ipv4, "--forceflush"], peer.site.gateway)
    try:
        server.await_line(r"listening", 5)
        yield
    finally:
        server.kill()


def _start_iperf(peer: Peer, host: Host, *arguments: str) -> Program:
    return Program("iperf3", ["iperf3", "-c", peer.inner_ipv4, "--forceflush", *arguments], host.namespace)


def _iperf(peer: Peer, host: Host, *arguments: str) -> dict[str, Any]:
    text = host.namespace.run("iperf3", "-c", peer.inner_ipv4, "-J", *arguments, timeout=120)
    return json.loads(text)


def _round_trips(client: OpenConnect, peer: Peer, effort: Effort) -> dict[str, float]:
    """Median and 99th percentile, microseconds."""
    text = client.host.namespace.run(
        *("ping", "-n", "-c", str(effort.pings), "-i", str(PING_INTERVAL), peer.inner_ipv4), timeout=120, check=False
    )
    times = [1e3 * float(ms) for ms in re.findall(r"time=([\d.]+) ms", text)]
    if len(times) < effort.pings / 2:
        raise RuntimeError(f"{peer.label}: {len(times)} of {effort.pings} pings answered")
    return {"median": statistics.median(times), "p99": statistics.quantiles(times, n=100)[98]}


def _udp_arrived(peer: Peer) -> int:
    """Datagrams that the gateway's UDP took from below, read or dropped for want of room."""
    return _udp_counter(peer, "InDatagrams") + _udp_counter(peer, "InErrors")


def _udp_counter(peer: Peer, name: str) -> int:
    with peer.site.gateway.entered():
        text = Path("/proc/thread-self/net/snmp").read_text()
    names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Udp:"))
    return int(dict(zip(names, values, strict=True))[name])
