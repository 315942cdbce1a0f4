# SPDX-License-Identifier: GPL-3.0-or-later
"""Listening and UDP sockets: one for each worker and endpoint given (SO_REUSEPORT), so the kernel spreads the peers."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
from contextlib import ExitStack
from ipaddress import ip_address
from typing import TYPE_CHECKING

from vpn_frontend.settings import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable


BACKLOG = 1024  # per socket: completed connections that no worker has accepted; more wait in the SYN queue
UDP_SOCKETS = 8  # of a worker for each endpoint: a busy one rests, and only the clients that share it with another wait
UDP_BUFFERS = 8 << 20  # bytes each way of all these: 5 ms of full datagrams at a gigabit per second over one of them
MAX_NUMBER = 1 << 17  # of a descriptor: a table of a megabyte in the kernel, for 130 000 connections
_TCP_NOTSENT_LOWAT = 25  # linux/tcp.h; Python 3.11 does not name it
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h; Python does not name them


class ListenError(Exception):
    """Listening on an endpoint failed. The text names it and the cause."""


def bind_listeners(endpoints: Iterable[Endpoint], workers: int) -> tuple[tuple[int, ...], ...]:
    """Bound TCP sockets, one tuple per worker. The caller owns the descriptors. Raises ``ListenError``.

    Connections are refused until ``start_listening``.
    """
    return _open(endpoints, workers, socket.SOCK_STREAM)


def start_listening(descriptors: Iterable[int], output_buffer: int = 0) -> None:
    """Let bound TCP sockets accept connections. Raises ``ListenError``.

    Of the output of each connection at most about ``output_buffer`` bytes wait in the kernel unsent. Data on its way to
    the peer does not count, so a long path keeps its throughput.
    """
    for descriptor in descriptors:
        bound = socket.socket(fileno=descriptor)
        try:
            if output_buffer:
                bound.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, output_buffer)  # accepted sockets inherit it
            bound.listen(BACKLOG)
        except OSError as error:
            host, port, *_ = bound.getsockname()
            raise ListenError(f"cannot listen on {Endpoint(ip_address(host), port)}: {error.strerror}") from error
        finally:
            bound.detach()


def move_last(rows: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """The same sockets under the highest numbers that this process may have; ``rows`` are closed.

    Linux closes the descriptors of a killed process from the highest on. A client whose connection ends finds no
    listening socket then, and tries another server at once; openconnect otherwise waits for 10 seconds.
    """
    limit = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], MAX_NUMBER)
    floor = max(0, limit - sum(map(len, rows)) - 1)
    return tuple(tuple(_move(descriptor, floor) for descriptor in row) for row in rows)


def _move(descriptor: int, floor: int) -> int:
    try:
        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, floor)
    except OSError:
        return descriptor  # the numbers there are taken
    os.close(descriptor)
    return moved


def refuse(descriptors: Iterable[int]) -> None:
    """Have listening TCP sockets refuse connections until ``start_listening``. They stay bound.

    Linux alone does so (tcp_disconnect of a listening socket); connections that wait to be accepted are reset.
    """
    for descriptor in descriptors:
        bound = socket.socket(fileno=descriptor)
        try:
            bound.shutdown(socket.SHUT_RDWR)
        finally:
            bound.detach()


def open_datagram_sockets(endpoints: Iterable[Endpoint], workers: int) -> tuple[tuple[int, ...], ...]:
    """Unconnected UDP sockets, one tuple per worker. The caller owns the descriptors. Raises ``ListenError``."""
    return _open(endpoints, workers, socket.SOCK_DGRAM)


def close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _open(endpoints: Iterable[Endpoint], workers: int, kind: int) -> tuple[tuple[int, ...], ...]:
    """All or nothing."""
    with ExitStack() as undo:
        rows: list[list[socket.socket]] = [[] for _ in range(workers)]
        for endpoint in endpoints:
            for row in rows:
                try:
                    row.append(undo.enter_context(_bound(endpoint, kind)))
                except OSError as error:
                    raise ListenError(f"cannot listen on {endpoint}: {error.strerror}") from error
        undo.pop_all()
        return tuple(tuple(bound.detach() for bound in row) for row in rows)


def _bound(endpoint: Endpoint, kind: int) -> socket.socket:
    ipv6 = endpoint.address.version == 6
    bound = socket.socket(
        socket.AF_INET6 if ipv6 else socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    )
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if ipv6:
            # ``::`` accepts IPv4 too.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if endpoint.address.is_unspecified else 1)
        if kind == socket.SOCK_DGRAM:
            _widen(bound, _SO_RCVBUFFORCE, socket.SO_RCVBUF)
            _widen(bound, _SO_SNDBUFFORCE, socket.SO_SNDBUF)
        bound.bind((str(endpoint.address), endpoint.port))
    except OSError:
        bound.close()
        raise
    return bound


def _widen(bound: socket.socket, forced: int, asked: int) -> None:
    """Beyond net.core.[rw]mem_max with CAP_NET_ADMIN, up to it without."""
    try:
        bound.setsockopt(socket.SOL_SOCKET, forced, UDP_BUFFERS // UDP_SOCKETS)
    except PermissionError:
        bound.setsockopt(socket.SOL_SOCKET, asked, UDP_BUFFERS // UDP_SOCKETS)
