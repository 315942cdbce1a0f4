# SPDX-License-Identifier: GPL-3.0-or-later
"""Listening sockets that outlive the process, in the service manager's descriptor store (sd_pid_notify_with_fds(3)).

While no server runs, the kernel completes the clients' connections all the same; they wait for the next server. Without
that, a client that came back at once would be refused, and try again after many seconds.
"""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

from vpn_frontend.settings import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vpn_frontend.gateway.descriptors import Opener, Rows

PREFIX = "vpn-tcp-"  # of their names in the store


class KeptListeners:
    """An ``Opener`` that binds only the sockets that were not ``given``. Owns those until they are taken."""

    def __init__(self, opener: Opener, given: Iterable[tuple[str, int]], namespace: str = "") -> None:
        """``namespace``: the network namespace of the sockets; those of another one are not taken."""
        self._opener = opener
        self._namespace = namespace
        self._kept: dict[str, list[int]] = {}
        for name, descriptor in given:
            if name.startswith(PREFIX) and _listens(name, descriptor, namespace):
                self._kept.setdefault(name, []).append(descriptor)
            else:
                os.close(descriptor)

    def bind_listeners(self, endpoints: Iterable[Endpoint], workers: int) -> Rows:
        """Kept sockets may be more than one per worker: each of them may have clients that wait."""
        rows: list[list[int]] = [[] for _ in range(workers)]
        try:
            for endpoint in endpoints:
                found = self._kept.pop(store_name(endpoint, self._namespace), [])
                for number, descriptor in enumerate(found):
                    rows[number % workers].append(descriptor)
                missing = workers - len(found)
                if missing > 0:
                    opened = self._opener.bind_listeners([endpoint], missing)
                    for number, sockets in enumerate(opened, start=len(found)):
                        rows[number].extend(sockets)
        except BaseException:
            for row in rows:
                _close(row)
            raise
        return tuple(map(tuple, rows))

    def open_datagram_sockets(self, endpoints: Iterable[Endpoint], workers: int) -> Rows:
        return self._opener.open_datagram_sockets(endpoints, workers)

    def open_tun(self, queues: int) -> tuple[int, ...]:
        return self._opener.open_tun(queues)

    def close_unused(self) -> tuple[str, ...]:
        """Close the sockets of endpoints that are not configured any more. Returns their names."""
        unused, self._kept = self._kept, {}
        for descriptors in unused.values():
            _close(descriptors)
        return tuple(unused)


def store_name(endpoint: Endpoint, namespace: str = "") -> str:
    return PREFIX + (namespace and f"{namespace}-") + str(endpoint).replace(":", ".")


def named_listeners(rows: Rows, namespace: str = "") -> dict[str, list[int]]:
    """The listening sockets of all workers, by the name of their endpoint in the store."""
    named: dict[str, list[int]] = {}
    for descriptor in (one for row in rows for one in row):
        named.setdefault(store_name(_endpoint_of(descriptor), namespace), []).append(descriptor)
    return named


def _listens(name: str, descriptor: int, namespace: str) -> bool:
    """True for a socket that accepts TCP connections at the endpoint of ``name``."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as found:
            accepts = found.type == socket.SOCK_STREAM and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        return bool(accepts) and store_name(_endpoint_of(descriptor), namespace) == name
    except (OSError, ValueError):
        return False


def _endpoint_of(descriptor: int) -> Endpoint:
    with socket.socket(fileno=os.dup(descriptor)) as bound:
        host, port, *_ = bound.getsockname()
    return Endpoint(ip_address(host), port)


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
