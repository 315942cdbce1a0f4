# SPDX-License-Identifier: GPL-3.0-or-later
"""All that a server can move: the load client's sessions are open before the clock starts and wait for nothing else."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench import load_client
from bench.measures.openconnect import GB
from bench.readings import Effort, Measure, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.load_client import Flow
    from bench.peers import Peer
    from lab.programs import Program

PACKET = 1300  # bytes that the load client puts into a tunnel at once
HEADERS = 28  # of them, IPv4 and UDP
SINK, SOURCE = 9, 7  # UDP ports inside
_UDP_GRO = 104  # linux/udp.h; not in Python's socket


def push(transport: str, clients: int) -> Measure:
    """What counts is what came out of the device."""

    def measure(peer: Peer, effort: Effort) -> Iterator[Reading]:
        with sink(peer, SINK, merged=True), pushing(peer, clients, dtls=transport == "dtls") as load:
            flow = load_client.observe(load, effort.seconds, peer.cpu, lambda: _arrivals(peer))
        spent, arrived = flow.others
        yield from _readings(flow, f"{transport.upper()} up", clients, spent, arrived * PACKET)

    return measure


def pull(transport: str, clients: int) -> Measure:
    """What counts is what reached the clients, each of which asks for more as it gets what it asked for."""

    def measure(peer: Peer, effort: Effort) -> Iterator[Reading]:
        with source(peer), pulling(peer, clients, dtls=transport == "dtls") as load:
            flow = load_client.observe(load, effort.seconds, peer.cpu)
        yield from _readings(flow, f"{transport.upper()} down", clients, flow.others[0], flow.bytes)

    return measure


def _readings(flow: Flow, way: str, clients: int, spent: float, size: float) -> Iterator[Reading]:
    name = f"load client, {clients} session{'s' if clients > 1 else ''}, {way}"
    if not size:
        raise RuntimeError(f"{name}: nothing arrived")
    yield Reading(name, "MB/s", size / flow.seconds / 1e6, more_is_better=True)
    yield Reading(f"{name}: server CPU per GB", "s", spent / (size / GB))
    yield Reading(f"{name}: client CPU per GB", "s", flow.own_cpu / (size / GB))


def _arrivals(peer: Peer) -> int:
    """The load client's packets that came out of the server's devices. Those that came out as one have one header."""
    links = json.loads(peer.network.gateway.run("ip", "-s", "-j", "link", "show", "type", "tun") or "[]")
    counts = [link["stats64"]["rx"] for link in links if link]
    return sum(count["bytes"] - HEADERS * count["packets"] for count in counts) // (PACKET - HEADERS)


@contextmanager
def sink(peer: Peer, port: int, *, merged: bool = False) -> Iterator[None]:
    """A socket that is never read: full and then dropping, it counts what arrives. What comes merged is taken apart for
    it by the kernel, in the server's own write, unless it takes ``merged`` datagrams; then a drop may be many."""
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
