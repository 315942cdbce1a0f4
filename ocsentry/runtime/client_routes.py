# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes of the kernel to networks behind clients, set by the helper process.

Wanted routes are a set, and a task brings the kernel to it: however often clients come and go, at most one change for
each network waits. The device takes its routes with it when the server ends, so nothing is left after a crash.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from admin_api.workers import start_threads
from vpn_frontend.ports import VpnEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from vpn_frontend.ports import EventSink
    from vpn_frontend.settings import Address, Network

DISCARD = 9  # port, RFC 863
RETRY = 30.0  # seconds until a route that failed is tried again


class RouteChanger(Protocol):
    """The part of the helper that is used here."""

    def change_route(self, action: str, network: str) -> None:
        """``add`` or ``del``. Waits for the kernel. Raises ``OSError``."""


class KernelRoutes:
    """Implements the port ``ClientRoutes``. ``running`` has to be entered first."""

    def __init__(self, changer: RouteChanger, events: EventSink) -> None:
        self._changer = changer
        self._events = events
        self._wanted: dict[Network, None] = {}
        self._present: dict[Network, None] = {}
        self._placed: dict[Network, None] = {}  # wanted, and present at least once
        self._reported: dict[Network, str] = {}  # errors that were told
        self._changed = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "routes to clients")  # of its own: requests fill the default pool

    def add(self, network: Network) -> None:
        self._wanted[network] = None
        self._changed.set()

    def remove(self, network: Network) -> None:
        self._wanted.pop(network, None)
        self._placed.pop(network, None)
        self._reported.pop(network, None)
        self._changed.set()

    def is_local(self, address: Address) -> bool:
        """What the kernel would send from to reach the address: that address itself, if it is the host's.

        A datagram socket that is connected sends nothing. Binding would also succeed for others' addresses where
        ``net.ipv4.ip_nonlocal_bind`` is set.
        """
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((str(address), DISCARD))
            except OSError:  # no route
                return False
            return bool(probe.getsockname()[0] == str(address))

    @property
    def placed(self) -> tuple[Network, ...]:
        """The wanted networks for which the kernel has had a route."""
        return tuple(self._placed)

    def renew(self, networks: Iterable[Network]) -> None:
        """The kernel has lost the routes of these networks: set them again."""
        for network in networks:
            self._present.pop(network, None)
        self._changed.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[KernelRoutes]:
        start_threads(self._thread, 1)  # now, when a system without one more ends the start in words
        task = asyncio.create_task(self._follow(), name="routes to networks behind clients")
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _follow(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY if self._reported else None):
                    await self._changed.wait()
            self._changed.clear()
            for network in [network for network in self._present if network not in self._wanted]:
                await self._change("del", network)
                del self._present[network]  # also after an error: somebody else may have removed it
            for network in [network for network in self._wanted if network not in self._present]:
                if network in self._wanted and await self._change("add", network):
                    self._present[network] = None
                    if network in self._wanted:
                        self._placed[network] = None

    async def _change(self, action: str, network: Network) -> bool:
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self._changer.change_route, action, str(network))
        except OSError as error:
            text = error.strerror or str(error)
            if action == "add" and self._reported.get(network) != text:
                self._events.emit(VpnEvent.IROUTE_FAILED, network=network, error=text)
                self._reported[network] = text
            return False
        self._reported.pop(network, None)
        return True
