# SPDX-License-Identifier: GPL-3.0-or-later
"""Descriptors of a gateway: listening sockets, UDP sockets and TUN queues, one set per worker.

Opening them may need privileges, using them does not. So they are opened before the server drops its privileges.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vpn_frontend.gateway import sockets, tun
from vpn_frontend.gateway.rlimit import DescriptorLimitError, raise_descriptor_limit
from vpn_frontend.settings import MAX_WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from vpn_frontend.settings import VpnSettings

CONNECTIONS_PER_CLIENT = 4  # a login of AnyConnect has up to three connections beside its tunnel's
SPARE_CONNECTIONS = 256

Rows = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class GatewayDescriptors:
    """One tuple per worker. TCP sockets are bound; they listen when the gateway starts."""

    listeners: Rows
    datagrams: Rows
    tuns: tuple[int, ...] = ()
    shortage: str | None = None  # the limit of descriptors is too low for the clients that the settings allow

    def close(self) -> None:
        sockets.close_all([*(one for row in (*self.listeners, *self.datagrams) for one in row), *self.tuns])


def worker_count(settings: VpnSettings) -> int:
    return settings.worker_threads or min(len(os.sched_getaffinity(0)), MAX_WORKERS)


def max_connections(settings: VpnSettings) -> int:
    """The number of TLS connections that the gateway holds at most."""
    return settings.limits.max_clients * CONNECTIONS_PER_CLIENT + SPARE_CONNECTIONS


def open_with_device(settings: VpnSettings, open_tun: Callable[[int], tuple[int, ...]]) -> GatewayDescriptors:
    """Everything, with the queues that ``open_tun`` returns. Raises ``ListenError`` or what ``open_tun`` raises."""
    opened = _open_sockets(settings)
    try:
        return replace(opened, tuns=open_tun(worker_count(settings)))
    except BaseException:
        opened.close()
        raise


async def open_descriptors(settings: VpnSettings, device: tun.TunDevice) -> GatewayDescriptors:
    """Everything, with a new TUN device. Raises ``ListenError`` or ``TunError``."""
    opened = open_with_device(settings, lambda count: tun.open_queues(device.name, count))
    try:
        await tun.configure(device)
    except BaseException:
        opened.close()
        raise
    return opened


def _open_sockets(settings: VpnSettings) -> GatewayDescriptors:
    workers = worker_count(settings)
    shortage = None
    try:
        raise_descriptor_limit(max_connections(settings), workers)
    except DescriptorLimitError as error:
        shortage = str(error)
    listeners = sockets.bind_listeners(settings.listen, workers)
    opened = GatewayDescriptors(listeners, (), shortage=shortage)
    if not settings.dtls:
        return opened
    try:
        return replace(
            opened, datagrams=sockets.open_datagram_sockets(settings.dtls_listen or settings.listen, workers)
        )
    except BaseException:
        opened.close()
        raise
