# SPDX-License-Identifier: GPL-3.0-or-later
"""The descriptors that the native gateway is handed, one per worker: listening sockets and queues of the TUN device."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address, IPv6Address

LISTEN_BACKLOG = 1024  # connections the kernel completes ahead of us; a storm beyond it waits in the SYN queue
TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TUN, IFF_MULTI_QUEUE, IFF_NO_PI = 0x0001, 0x0100, 0x1000
DEVICE_NAME_MAX = 15  # bytes, IFNAMSIZ without its NUL


def open_listeners(address: IPv4Address | IPv6Address, port: int, count: int) -> list[int]:
    """Open ``count`` TCP sockets that share one endpoint; the kernel spreads connections over them.

    ``::`` takes IPv4 too. Port 0 becomes the same free port for all. Raises ``OSError``.
    """
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET

    def bound(at: int) -> socket.socket:
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address.is_unspecified else 1)
            listener.bind((str(address), at))
        except OSError:
            listener.close()
            raise
        return listener

    with ExitStack() as undo:
        sockets: list[socket.socket] = []
        for _ in range(count):
            sockets.append(undo.enter_context(bound(sockets[0].getsockname()[1] if sockets else port)))
        for listener in sockets:  # only now: a connection must never meet a socket that is closed again
            listener.listen(LISTEN_BACKLOG)
        undo.pop_all()
        return [listener.detach() for listener in sockets]


def open_tun_queues(device: str, count: int) -> list[int]:
    """Create the TUN device ``device``, or join it, with ``count`` queues. It lives as long as one of them is open.

    Raises ``OSError``; ``ValueError`` for a name the kernel cannot take.
    """
    name = device.encode("ascii")
    if not 1 <= len(name) <= DEVICE_NAME_MAX:
        raise ValueError(f"{device!r} is no name for a network device")
    request = struct.pack("16sH22x", name, IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE)
    queues: list[int] = []
    try:
        for _ in range(count):
            queues.append(os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
            fcntl.ioctl(queues[-1], TUNSETIFF, request)
    except OSError:
        close_all(queues)
        raise
    return queues


def close_all(descriptors: list[int], close: Callable[[int], None] = os.close) -> None:
    while descriptors:
        close(descriptors.pop())
