# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the figures of the running server for ``TimeSeries``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpn_frontend.ports import VpnEvent

if TYPE_CHECKING:
    from admin_api.services import Services

COUNTED = {
    "logins_accepted": VpnEvent.LOGIN_ACCEPTED,
    "logins_refused": VpnEvent.LOGIN_REFUSED,
    "sessions_opened": VpnEvent.SESSION_OPENED,
    "sessions_closed": VpnEvent.SESSION_CLOSED,
}


class Sampler:
    """Call ``take`` every ``SAMPLE_INTERVAL``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def take(self) -> None:
        services = self._services
        engine, carried = services.engine.counters(), services.sessions.traffic()
        gauges = {
            "sessions": carried.tunnels,
            "blocks": len(services.enforcement.blocks),
            "penalties": engine.penalties,
            "rules": services.enforcement.status().rules,
        }
        totals = {name: services.events.event_counts.total(kind) for name, kind in COUNTED.items()}
        totals |= {"decisions": engine.decisions, "refusals": engine.refused}
        totals |= {"rx_bytes": carried.rx_bytes, "tx_bytes": carried.tx_bytes}
        services.time_series.add(services.clock.wall(), gauges, totals)
