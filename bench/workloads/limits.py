# SPDX-License-Identifier: GPL-3.0-or-later
"""The cost of limits per packet: one greedy uploader whose limits change while it sends, so that all else is equal."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import TYPE_CHECKING

from bench import load_client
from bench.peers import OurPeer
from bench.workload import Sample, Scale, Workload
from bench.workloads.openconnect import GB
from bench.workloads.saturation import PACKET, SINK, arrivals, pushing, sink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer

REPEATS = 5
WITHOUT = "without limits"
NETWORK = {
    "routes": ["10.89.0.0/16", "192.0.2.0/24", "198.51.100.0/24", "fd89::/64"],
    "restrict_to_routes": True,
    "restrict_to_ports": ["tcp/443", "udp/53", f"udp/{SINK}"],
}
SETTINGS: dict[str, dict[str, object]] = {
    WITHOUT: {"network": None, "bandwidth": None, "quota": None},
    "with routes and ports": {"network": NETWORK, "bandwidth": None, "quota": None},
    "with routes, ports, bandwidth and quota": {  # more than the session can use
        "network": NETWORK,
        "bandwidth": {"from_client": 10**12, "to_client": 10**12},
        "quota": {"day": 10**15},
    },
}


def limits(transport: str) -> Workload:
    """Processor time per GB with limits of several kinds, and what is left of the throughput per processor second."""

    def measure(peer: Peer, scale: Scale) -> Iterator[Sample]:
        if not isinstance(peer, OurPeer):
            return  # ocserv limits by nftables, and its bandwidth per process
        spent: dict[str, list[float]] = defaultdict(list)
        with sink(peer, SINK, merged=True), pushing(peer, 1, dtls=transport == "dtls") as load:
            for _ in range(REPEATS):
                for kind, settings in SETTINGS.items():
                    _set_limits(peer, settings)
                    flow = load_client.observe(load, scale.seconds, peer.cpu, lambda: arrivals(peer))
                    seconds, arrived = flow.others
                    spent[kind].append(seconds / (arrived * PACKET / GB))
        _set_limits(peer, SETTINGS[WITHOUT])
        for kind, values in spent.items():
            name = f"limits, {transport.upper()} up, {kind}"
            yield Sample(f"{name}: server CPU per GB", "s", statistics.median(values))
            if kind != WITHOUT:
                ratios = [bare / limited for bare, limited in zip(spent[WITHOUT], values, strict=True)]
                yield Sample(
                    f"{name}: throughput", "% of without", 100 * statistics.median(ratios), more_is_better=True
                )

    return measure


def _set_limits(peer: OurPeer, settings: dict[str, object]) -> None:
    changed = peer.server.api.expect(200, "PATCH", f"/api/v1/users/{peer.user}", {"settings": settings})
    if changed["sessions_cut"]:
        raise RuntimeError("the session was cut by a change of its limits")
