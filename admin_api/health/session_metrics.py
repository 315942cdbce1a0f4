# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of sessions: by state and transport, the bytes that they carried, and their address pools."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from admin_api.health.pools import count_pools
from admin_api.metrics.event_counts import BYTES
from vpn_frontend.ports import NO_TRANSPORT, SessionState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from admin_api.services import Services
    from vpn_frontend.ports import SessionView

TRANSPORTS = ("dtls", "tls", NO_TRANSPORT)


class SessionMetrics:
    """Keeps the highest value of each counter: between its end and its last report a session is in neither sum."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._bytes: Counter[str] = Counter()

    def collect(self) -> Iterator[Metric]:
        views = self._services.sessions.list()
        states = Counter(view.state for view in views)
        family = GaugeMetricFamily("ocsentry_sessions", "Live sessions", labels=["state"])
        for state in SessionState:
            family.add_metric([state.value], states[state])
        yield family
        transports = Counter(view.transport for view in views)
        family = GaugeMetricFamily("ocsentry_session_transports", "Live sessions by transport", labels=["transport"])
        for transport in TRANSPORTS:
            family.add_metric([transport], transports[transport])
        yield family
        yield self._bytes_carried(views)
        yield from self._pools(views)

    def _bytes_carried(self, views: Sequence[SessionView]) -> Metric:
        carried = Counter(self._services.events.event_counts.ended_bytes)
        for view in views:
            carried.update({name: getattr(view.counters, name) for name in BYTES})
        self._bytes |= carried
        known = self._bytes
        family = CounterMetricFamily(
            "ocsentry_tunnel_bytes", "Bytes of inner packets", labels=["direction", "transport"]
        )
        for direction, name in (("from_client", "rx_bytes"), ("to_client", "tx_bytes")):
            over_dtls = known[f"dtls_{name}"]
            family.add_metric([direction, "dtls"], over_dtls)
            family.add_metric([direction, "tls"], max(0, known[name] - over_dtls))
        return family

    def _pools(self, views: Sequence[SessionView]) -> Iterator[Metric]:
        size = GaugeMetricFamily("ocsentry_pool_addresses", "Addresses of a pool for clients", labels=["pool"])
        used = GaugeMetricFamily("ocsentry_pool_addresses_used", "Addresses that sessions have", labels=["pool"])
        for pool in count_pools(self._services.facts.pools, views):
            size.add_metric([str(pool.network)], pool.addresses)
            used.add_metric([str(pool.network)], pool.used)
        yield size
        yield used
