# SPDX-License-Identifier: GPL-3.0-or-later
"""Descriptors of a gateway: listening sockets, UDP sockets and TUN queues, one set per worker.

Opening them may need privileges, using them does not. So they are opened before the server drops its privileges.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from sentry_engine.records import dataclass
from vpn_frontend.gateway import sockets, tun
from vpn_frontend.gateway.rlimit import DescriptorLimitError, raise_descriptor_limit
from vpn_frontend.settings import MAX_WORKERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vpn_frontend.settings import Endpoint, VpnSettings

CONNECTIONS_PER_CLIENT = 4  # a login of AnyConnect has up to three connections beside its tunnel's
SPARE_CONNECTIONS = 256
SPARE_SESSIONS = 256  # closing while others open

Rows = tuple[tuple[int, ...], ...]


class Opener(Protocol):
    """Opens sockets and TUN queues, with the rights for it. Rows are per worker; the caller owns all descriptors."""

    def bind_listeners(self, endpoints: Iterable[Endpoint], workers: int) -> Rows: ...

    def open_datagram_sockets(self, endpoints: Iterable[Endpoint], workers: int) -> Rows: ...

    def open_tun(self, queues: int) -> tuple[int, ...]: ...


@dataclass(frozen=True, slots=True)
class GatewayDescriptors:
    """One tuple per worker. TCP sockets are bound; they listen when the gateway starts."""

    listeners: Rows
    datagrams: Rows
    tuns: tuple[int, ...] = ()
    signers: tuple[int, ...] = ()  # sockets to the signing process; empty: the server has the keys
    shortage: str | None = None  # the limit of descriptors is too low for the clients that the settings allow

    def close(self) -> None:
        sockets.close_all(
            [*(one for row in (*self.listeners, *self.datagrams) for one in row), *self.tuns, *self.signers]
        )


def worker_count(settings: VpnSettings) -> int:
    return settings.worker_threads or min(len(os.sched_getaffinity(0)), MAX_WORKERS)


def max_connections(settings: VpnSettings) -> int:
    """The number of TLS connections that the gateway holds at most."""
    return settings.limits.max_clients * CONNECTIONS_PER_CLIENT + SPARE_CONNECTIONS


def max_sessions(settings: VpnSettings) -> int:
    """The number of sessions that the gateway holds at most."""
    return settings.limits.max_clients + SPARE_SESSIONS


def open_through(opener: Opener, settings: VpnSettings) -> GatewayDescriptors:
    """Everything that a gateway needs, all or nothing. Raises what ``opener`` raises."""
    workers = worker_count(settings)
    endpoints = tuple(settings.dtls_listen or settings.listen) * sockets.UDP_SOCKETS if settings.dtls else ()
    shortage = None
    try:
        raise_descriptor_limit(max_connections(settings), workers, len(settings.listen) + len(endpoints))
    except DescriptorLimitError as error:
        shortage = str(error)
    listeners = sockets.move_last(opener.bind_listeners(settings.listen, workers))
    opened = GatewayDescriptors(listeners, (), shortage=shortage)
    try:
        if endpoints:
            opened = replace(opened, datagrams=opener.open_datagram_sockets(endpoints, workers))
        return replace(opened, tuns=opener.open_tun(workers * tun.QUEUES_PER_WORKER))
    except BaseException:
        opened.close()
        raise


def open_descriptors(settings: VpnSettings, device: tun.TunDevice) -> GatewayDescriptors:
    """Everything, opened by this process. Raises ``ListenError`` or ``TunError``."""
    opened = open_through(_OwnRights(device), settings)
    try:
        tun.configure(device)
    except BaseException:
        opened.close()
        raise
    return opened


class _OwnRights:
    def __init__(self, device: tun.TunDevice) -> None:
        self._device = device

    def bind_listeners(self, endpoints: Iterable[Endpoint], workers: int) -> Rows:
        return sockets.bind_listeners(endpoints, workers)

    def open_datagram_sockets(self, endpoints: Iterable[Endpoint], workers: int) -> Rows:
        return sockets.open_datagram_sockets(endpoints, workers)

    def open_tun(self, queues: int) -> tuple[int, ...]:
        return tun.open_queues(self._device.name, queues)
