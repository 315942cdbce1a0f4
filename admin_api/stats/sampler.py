# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the figures of the running server for ``TimeSeries``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpn_frontend.ports import VpnEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        self._carried: Mapping[str, tuple[int, int]] = {}  # inner bytes of live sessions at the last sample
        self._rx_bytes = 0
        self._tx_bytes = 0

    async def take(self) -> None:
        services = self._services
        engine, carried = services.engine.counters(), services.sessions.traffic()
        self._count_bytes(carried)
        gauges = {
            "sessions": len(carried),
            "blocks": len(services.enforcement.blocks),
            "penalties": engine.penalties,
            "rules": services.enforcement.status().rules,
        }
        totals = {name: services.events.event_counts.total(kind) for name, kind in COUNTED.items()}
        totals |= {"decisions": engine.decisions, "refusals": engine.refused}
        totals |= {"rx_bytes": self._rx_bytes, "tx_bytes": self._tx_bytes}
        services.time_series.add(services.clock.wall(), gauges, totals)

    def _count_bytes(self, carried: Mapping[str, tuple[int, int]]) -> None:
        """What a session carries after its last sample is not counted."""
        for session_id, (rx_bytes, tx_bytes) in carried.items():
            rx_before, tx_before = self._carried.get(session_id, (0, 0))
            self._rx_bytes += max(0, rx_bytes - rx_before)
            self._tx_bytes += max(0, tx_bytes - tx_before)
        self._carried = carried
