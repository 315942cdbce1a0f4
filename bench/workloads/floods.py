# SPDX-License-Identifier: GPL-3.0-or-later
"""Floods from a hostile source, while another client's tunnel pings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import load_client
from bench.drops import udp_counter
from bench.workload import Sample, Scale
from bench.workloads.openconnect import PING_INTERVAL, tunnel
from lab.traffic.continuous_ping import ContinuousPing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer


def connect_flood(peer: Peer, scale: Scale) -> Iterator[Sample]:
    """A source opens TCP connections as fast as it can."""
    with tunnel(peer, peer.host, dtls=False) as client:
        pings = ContinuousPing(client, peer.inner_ipv4, interval=PING_INTERVAL)
        pings.await_replies(10)
        before = peer.cpu()
        done = load_client.run("connect", peer.second_host.namespace, peer, threads=8, seconds=scale.seconds)
        spent = peer.cpu() - before
        lost = _lost(pings)
    yield Sample("connect flood: connections taken", "per second", done.count / done.seconds, more_is_better=True)
    yield Sample("connect flood: server CPU each", "us", 1e6 * spent / max(1, done.count))
    yield Sample("connect flood: pings lost beside it", "%", lost)


def hello_flood(peer: Peer, scale: Scale) -> Iterator[Sample]:
    """A source sends DTLS ClientHellos that belong to no session."""
    with tunnel(peer, peer.host, dtls=False) as client:
        pings = ContinuousPing(client, peer.inner_ipv4, interval=PING_INTERVAL)
        pings.await_replies(10)
        before, taken = peer.cpu(), udp_counter(peer.network.gateway, "InDatagrams")
        done = load_client.run("hello", peer.second_host.namespace, peer, threads=1, seconds=scale.seconds)
        spent, taken = peer.cpu() - before, udp_counter(peer.network.gateway, "InDatagrams") - taken
        lost = _lost(pings)
    yield Sample("ClientHello flood: datagrams taken", "per second", taken / done.seconds, more_is_better=True)
    yield Sample("ClientHello flood: server CPU each", "us", 1e6 * spent / max(1, taken))
    yield Sample("ClientHello flood: pings lost beside it", "%", lost)


def _lost(pings: ContinuousPing) -> float:
    """Ends the ping and returns its loss in percent."""
    answered, missing = pings.replies, len(pings.missing())
    return 100 * missing / max(1, answered + missing)
