# SPDX-License-Identifier: GPL-3.0-or-later
"""Time from a block through the API until it is in force."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING

from bench.peers import OurPeer
from bench.workload import Sample, Scale
from lab.timeouts import TIMEOUT
from lab.traffic.probes import Target, closes_without_data

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer
    from lab.network import Host

SILENCE = 0.001  # seconds that an accepted connection is watched before the next one is opened


def block(peer: Peer, scale: Scale) -> Iterator[Sample]:
    """From the API request: until a connection is refused, until the client prints the reason, and until the answer.

    The answer comes last: the block and its audit row are stored before it.
    """
    if not isinstance(peer, OurPeer):
        return  # nothing to compare with: ocserv has no API
    api, cidr = peer.server.api, peer.host.ipv4
    answers, cuts, refusals = [], [], []
    with ThreadPoolExecutor(1) as threads:
        for _ in range(max(3, round(scale.seconds))):
            client = peer.connect(peer.host, dtls=False)
            asked, failed = time.monotonic(), Event()
            refused = threads.submit(await_refusal, peer.host, Target(), failed)
            try:
                made = api.block(cidr, "Measured")
            except BaseException:
                failed.set()  # nothing will be refused
                raise
            answered = time.monotonic()
            if not closes_without_data(peer.host):
                failed.set()
                raise RuntimeError(f"{cidr} was accepted after the answer to its block")
            cuts.append(client.await_line("Received server disconnect", TIMEOUT).at - asked)
            answers.append(answered - asked)
            refusals.append(refused.result() - asked)
            client.await_exit()
            api.unblock(made["id"])
    yield Sample("block by API: new connections are refused", "ms", 1e3 * statistics.median(refusals))
    yield Sample("block by API: the client has been told", "ms", 1e3 * statistics.median(cuts))
    yield Sample("block by API: stored and answered", "ms", 1e3 * statistics.median(answers))


def await_refusal(host: Host, target: Target, failed: Event) -> float:
    """Opens connections one after another until one is closed without a byte. Returns the monotonic time of that.

    Ends without a refusal once ``failed`` is set.
    """
    while not failed.is_set():
        try:
            with host.namespace.connect((target.host, target.port)) as stream:
                stream.settimeout(SILENCE)
                if stream.recv(1) == b"":
                    break
        except TimeoutError:
            continue
        except ConnectionResetError:
            break
    return time.monotonic()
