# SPDX-License-Identifier: GPL-3.0-or-later
"""Client tuning, the same for every server: larger buffers in the client's kernel, and separate processors."""

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

DEFAULT_BUFFER = Path("/proc/sys/net/core/rmem_default")  # default receive buffer, the same in all namespaces
SOCKET_BUFFER_BYTES = 4 << 20  # bytes; the kernel charges some 2.3 KB for a datagram of a tunnel
TUN_QUEUE_PACKETS = 5000  # packets in the queue of a TUN device; default 500


@contextmanager
def large_socket_buffers() -> Iterator[None]:
    """Applies to programs that open their sockets inside the block."""
    before = DEFAULT_BUFFER.read_text()
    DEFAULT_BUFFER.write_text(str(SOCKET_BUFFER_BYTES))
    try:
        yield
    finally:
        DEFAULT_BUFFER.write_text(before)


def lengthen_tun_queues(namespace: Namespace) -> None:
    """Applies to TUN devices that exist now."""
    for link in json.loads(namespace.run("ip", "-j", "link", "show", "type", "tun") or "[]"):
        if link:
            namespace.ip(f"link set {link['ifname']} txqueuelen {TUN_QUEUE_PACKETS}")


@contextmanager
def separate_cores(peer: Peer) -> Iterator[None]:
    """Pins the gateway's programs to one half of the processors, and the host's to the other, as on two machines."""
    processors = sorted(os.sched_getaffinity(0))
    half = len(processors) // 2
    try:
        if half:
            _confine(peer.network.gateway, processors[:half])
            _confine(peer.host.namespace, processors[half:])
            os.sched_setaffinity(0, processors[half:])  # inherited by programs that are started now
        yield
    finally:
        for namespace in peer.network.gateway, peer.host.namespace:
            _confine(namespace, processors)
        os.sched_setaffinity(0, processors)


def _confine(namespace: Namespace, processors: Iterable[int]) -> None:
    for pid in run("ip", "netns", "pids", namespace.name).split():
        with suppress(OSError):  # the process or a thread has ended
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), processors)
