# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may run where, and how much a client's kernel keeps for it: what an operator can set, for every server alike."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lab.namespaces import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bench.peers import Peer
    from lab.namespaces import Namespace

SOCKET_ROOM = Path("/proc/sys/net/core/rmem_default")  # of sockets that ask for nothing; one for all namespaces
ROOMY_SOCKET = 4 << 20  # bytes; the kernel charges some 2.3 KB for a datagram of a tunnel
ROOMY_QUEUE = 5000  # packets that a TUN device keeps; 500 otherwise


@contextmanager
def roomy_sockets() -> Iterator[None]:
    """For the programs that make their sockets inside of the block."""
    before = SOCKET_ROOM.read_text()
    SOCKET_ROOM.write_text(str(ROOMY_SOCKET))
    try:
        yield
    finally:
        SOCKET_ROOM.write_text(before)


def widen_tunnels(namespace: Namespace) -> None:
    """Of those whose device is there."""
    for link in json.loads(namespace.run("ip", "-j", "link", "show", "type", "tun") or "[]"):
        if link:
            namespace.ip(f"link set {link['ifname']} txqueuelen {ROOMY_QUEUE}")


@contextmanager
def apart(peer: Peer) -> Iterator[None]:
    """What runs on the gateway keeps to one half of the processors, what runs or is started on the host to the other:
    as on machines of their own."""
    processors = sorted(os.sched_getaffinity(0))
    half = len(processors) // 2
    try:
        if half:
            _confine(peer.network.gateway, processors[:half])
            _confine(peer.host.namespace, processors[half:])
            os.sched_setaffinity(0, processors[half:])  # programs inherit it from who starts them
        yield
    finally:
        for namespace in peer.network.gateway, peer.host.namespace:
            _confine(namespace, processors)
        os.sched_setaffinity(0, processors)


def _confine(namespace: Namespace, processors: Iterable[int]) -> None:
    for pid in run("ip", "netns", "pids", namespace.name).split():
        with suppress(OSError):  # it or one of its threads has ended
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), processors)
