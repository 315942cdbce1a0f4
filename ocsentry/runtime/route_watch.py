# SPDX-License-Identifier: GPL-3.0-or-later
"""Notices that the kernel has lost a route to the clients, which another program or an operator has removed.

Without the route of a pool the server is not ready. That of a network behind one client concerns this client alone: it
is told, and set again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ocsentry.observability.event_catalog import LogEvent
from vpn_frontend.gateway.pool_routes import lost_networks, lost_pools

if TYPE_CHECKING:
    from collections.abc import Iterable

    from admin_api.workers import ControlWorker
    from vpn_frontend.gateway.tun import TunDevice
    from vpn_frontend.ports import EventSink
    from vpn_frontend.settings import Network

INTERVAL = 5.0  # seconds between two looks


class PlacedRoutes(Protocol):
    """The part of ``KernelRoutes`` that is watched."""

    @property
    def placed(self) -> tuple[Network, ...]:
        """The networks behind clients for which the kernel has had a route."""

    def renew(self, networks: Iterable[Network]) -> None:
        """Set the routes of these again."""


class RouteWatch:
    """``check`` looks at once; an event is emitted when the routes of a pool are lost, and when all are back."""

    def __init__(self, device: TunDevice, events: EventSink, control: ControlWorker) -> None:
        """``control``: where the kernel is asked, so that requests cannot delay it."""
        self._device = device
        self._control = control
        self._events = events
        self._lost: list[str] = []
        self._behind: PlacedRoutes | None = None
        self._lost_behind: list[str] = []

    def watch(self, routes: PlacedRoutes) -> None:
        """Look at the routes to networks behind clients, too."""
        self._behind = routes

    async def look(self) -> None:
        await self.check()
        if self._behind is not None:
            await self._look_behind(self._behind)

    async def _look_behind(self, routes: PlacedRoutes) -> None:
        placed = routes.placed
        lost = await self._control.run(lost_networks, placed, self._device.addresses)
        lost = [network for network in lost if network in set(routes.placed)]  # its client may have left meanwhile
        names = list(map(str, lost))
        if lost:
            routes.renew(lost)
        if lost and names != self._lost_behind:
            self._events.emit(LogEvent.ROUTES_LOST, networks=names, device=self._device.name)
        elif self._lost_behind and not lost:
            self._events.emit(LogEvent.ROUTES_RESTORED, device=self._device.name)
        self._lost_behind = names

    async def check(self) -> str | None:
        """What /readyz says; ``None``: packets for clients go to the device."""
        lost = list(map(str, lost_pools(self._device.addresses)))
        if lost and lost != self._lost:
            self._events.emit(LogEvent.ROUTES_LOST, networks=lost, device=self._device.name)
        elif self._lost and not lost:
            self._events.emit(LogEvent.ROUTES_RESTORED, device=self._device.name)
        self._lost = lost
        if not lost:
            return None
        return f"{', '.join(lost)} {'has' if len(lost) == 1 else 'have'} no route to {self._device.name}"
