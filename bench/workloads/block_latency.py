# SPDX-License-Identifier: GPL-3.0-or-later
"""Time from a block through the API until it is in force."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from bench.peers import OurPeer
from bench.workload import Sample, Scale
from lab.traffic.probes import closes_without_data

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer


def block(peer: Peer, scale: Scale) -> Iterator[Sample]:
    """From the API request to its answer, when new connections are refused, and until the client prints the reason."""
    if not isinstance(peer, OurPeer):
        return  # nothing to compare with: ocserv has no API
    api, cidr = peer.server.api, peer.host.ipv4
    answers, cuts = [], []
    for _ in range(max(3, round(scale.seconds))):
        client = peer.connect(peer.host, dtls=False)
        asked = time.monotonic()
        made = api.block(cidr, "Measured")
        answered = time.monotonic()
        if not closes_without_data(peer.host):
            raise RuntimeError(f"{cidr} was accepted after the answer to its block")
        cuts.append(client.await_line("Received server disconnect", 5).at - asked)
        answers.append(answered - asked)
        client.await_exit()
        api.unblock(made["id"])
    yield Sample("block by API: answered and refused at accept", "ms", 1e3 * statistics.median(answers))
    yield Sample("block by API: the client has been told", "ms", 1e3 * statistics.median(cuts))
