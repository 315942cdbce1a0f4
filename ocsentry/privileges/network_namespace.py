# SPDX-License-Identifier: GPL-3.0-or-later
"""The VPN's sockets in another network namespace (``vpn.listen_netns``); device and pools stay in the server's own.

A socket belongs to the namespace that it was made in, wherever its process is afterwards. So the thread enters the
namespace, binds and leaves. It needs CAP_SYS_ADMIN, which the helper does not have: this runs before the drop.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.privileges import linux
from ocsentry.privileges.errors import PrivilegeError
from vpn_frontend.gateway import sockets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vpn_frontend.gateway.descriptors import Opener, Rows
    from vpn_frontend.settings import Endpoint

NAMED = Path("/run/netns")  # where ip-netns(8) keeps them
OWN = Path("/proc/thread-self/ns/net")


class SocketsInNamespace:
    """An ``Opener`` whose sockets are in the namespace ``name``. The TUN device is that of ``opener``."""

    def __init__(self, name: str, opener: Opener) -> None:
        self._name = name
        self._opener = opener

    def bind_listeners(self, endpoints: Iterable[Endpoint], workers: int) -> Rows:
        with inside_namespace(self._name):
            return sockets.bind_listeners(endpoints, workers)

    def open_datagram_sockets(self, endpoints: Iterable[Endpoint], workers: int) -> Rows:
        with inside_namespace(self._name):
            return sockets.open_datagram_sockets(endpoints, workers)

    def open_tun(self, queues: int) -> tuple[int, ...]:
        return self._opener.open_tun(queues)


@contextmanager
def inside_namespace(name: str) -> Iterator[None]:
    """Have this thread in a named network namespace. Raises ``PrivilegeError``."""
    own = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(name)
        try:
            yield
        finally:
            linux.enter_network_namespace(own)
    finally:
        os.close(own)


def _enter(name: str) -> None:
    try:
        other = os.open(NAMED / name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        text = f"vpn.listen_netns: there is no network namespace {name}: {error.strerror} (ip netns add {name})"
        raise PrivilegeError(text) from error
    try:
        linux.enter_network_namespace(other)
    except OSError as error:
        text = f"vpn.listen_netns: {name} cannot be entered: {error.strerror} (it needs CAP_SYS_ADMIN at the start)"
        raise PrivilegeError(text) from error
    finally:
        os.close(other)
