# SPDX-License-Identifier: GPL-3.0-or-later
"""Maximum throughput: the load client's sessions are open before the measurement starts."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench import load_client
from bench.workload import Sample, Scale, Workload
from bench.workloads.openconnect import GB
from lab.timeouts import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.load_client import TrafficSample
    from bench.peers import Peer
    from lab.processes.programs import Program

PACKET = 1300  # bytes of an inner packet of the load client
HEADERS = 28  # bytes of it: IPv4 and UDP
SINK, SOURCE = 9, 7  # UDP ports inside
_UDP_GRO = 104  # linux/udp.h; not in Python's socket


def push(transport: str, clients: int) -> Workload:
    """Uploads, counted where packets leave the TUN device."""

    def measure(peer: Peer, scale: Scale) -> Iterator[Sample]:
        with sink(peer, SINK, merged=True), pushing(peer, clients, dtls=transport == "dtls") as load:
            flow = load_client.observe(load, scale.seconds, peer.cpu, lambda: arrivals(peer))
        spent, arrived = flow.others
        yield from _readings(flow, f"{transport.upper()} up", clients, spent, arrived * PACKET)

    return measure


def pull(transport: str, clients: int) -> Workload:
    """Downloads, counted at the clients. Each requests more packets as it receives earlier ones."""

    def measure(peer: Peer, scale: Scale) -> Iterator[Sample]:
        with source(peer), pulling(peer, clients, dtls=transport == "dtls") as load:
            flow = load_client.observe(load, scale.seconds, peer.cpu)
        yield from _readings(flow, f"{transport.upper()} down", clients, flow.others[0], flow.bytes)

    return measure


def _readings(flow: TrafficSample, way: str, clients: int, spent: float, size: float) -> Iterator[Sample]:
    name = f"load client, {clients} session{'s' if clients > 1 else ''}, {way}"
    if not size:
        raise RuntimeError(f"{name}: nothing arrived")
    yield Sample(name, "MB/s", size / flow.seconds / 1e6, more_is_better=True)
    yield Sample(f"{name}: server CPU per GB", "s", spent / (size / GB))
    yield Sample(f"{name}: client CPU per GB", "s", flow.own_cpu / (size / GB))


def arrivals(peer: Peer) -> int:
    """Returns the load client's packets that left the server's TUN devices. Merged packets share one header.

    A list without a device is read again: counted from zero, all earlier packets would seem to have come since.
    """

    def read() -> list[dict[str, int]]:
        links = json.loads(peer.network.gateway.run("ip", "-s", "-j", "link", "show", "type", "tun") or "[]")
        return [link["stats64"]["rx"] for link in links if link]

    counts = eventually(read, bool, "a TUN device in the list")
    return sum(count["bytes"] - HEADERS * count["packets"] for count in counts) // (PACKET - HEADERS)


@contextmanager
def sink(peer: Peer, port: int, *, merged: bool = False) -> Iterator[None]:
    """A socket that is never read: once full, its drops count what arrives.

    The kernel splits merged datagrams for it in the server's own write. With ``merged`` it does not, and one drop may
    stand for several datagrams.
    """
    with peer.network.gateway.socket(kind=socket.SOCK_DGRAM) as taker:
        if merged:
            taker.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
        taker.bind(("0.0.0.0", port))
        yield


@contextmanager
def source(peer: Peer) -> Iterator[None]:
    program = load_client.start("source", peer.network.gateway, peer, port=SOURCE)
    try:
        program.await_line(r'"open"')
        yield
    finally:
        program.kill()


@contextmanager
def pushing(peer: Peer, clients: int, *, dtls: bool, rate: float = 0.0, port: int = SINK) -> Iterator[Program]:
    with _running("push", peer, clients, dtls, rate, port) as program:
        yield program


@contextmanager
def pulling(peer: Peer, clients: int, *, dtls: bool, rate: float = 0.0, reads: bool = True) -> Iterator[Program]:
    with _running("pull" if reads else "stall", peer, clients, dtls, rate, SOURCE) as program:
        yield program


@contextmanager
def _running(mode: str, peer: Peer, clients: int, dtls: bool, rate: float, port: int) -> Iterator[Program]:
    program = load_client.start(mode, peer.host.namespace, peer, threads=clients, dtls=dtls, rate=rate, port=port)
    try:
        if load_client.await_open(program, clients) < clients:
            raise RuntimeError(f"{program.label}: not all of {clients} tunnels opened: {program.tail}")
        yield program
        load_client.end(program)
    finally:
        if program.running:
            program.kill()
