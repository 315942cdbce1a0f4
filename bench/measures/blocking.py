# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a decision of the operator's reaches the doors."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from bench.peers import OurPeer
from bench.readings import Effort, Reading
from lab.probes import closes_without_data

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer


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
        if not closes_without_data(peer.host):
            raise RuntimeError(f"{cidr} got in after the answer to its block")
        cuts.append(client.await_line("Received server disconnect", 5).at - asked)
        answers.append(answered - asked)
        client.await_exit()
        api.unblock(made["id"])
    yield Reading("block by API: answered and refused at accept", "ms", 1e3 * statistics.median(answers))
    yield Reading("block by API: the client has been told", "ms", 1e3 * statistics.median(cuts))
