# SPDX-License-Identifier: GPL-3.0-or-later
"""Notices that the kernel has lost the route to the clients, which another program or an operator has removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocsentry.observability.event_catalog import LogEvent
from vpn_frontend.gateway.pool_routes import lost_pools

if TYPE_CHECKING:
    from vpn_frontend.gateway.tun import TunDevice
    from vpn_frontend.ports import EventSink

INTERVAL = 5.0  # seconds between two looks


class RouteWatch:
    """``check`` looks at once; an event is emitted when the routes of a pool are lost, and when all are back."""

    def __init__(self, device: TunDevice, events: EventSink) -> None:
        self._device = device
        self._events = events
        self._lost: list[str] = []

    async def look(self) -> None:
        await self.check()

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
