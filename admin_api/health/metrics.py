# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics for Prometheus, read from the engine, the gateway and the API at each scrape.

Labels come from closed sets (actions, states, methods, statuses, counter names). Addresses, users and rules are never
labels: clients could multiply them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from vpn_frontend.ports import SessionState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from admin_api.services import Services


class ServerCollector(Collector):
    """Collects all metrics of one server."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("ocsentry_build", "The running version", {"version": self._services.version})
        yield from self._policy()
        yield from self._engine()
        yield from self._sessions()
        yield from self._gateway()
        yield from self._kernel()
        yield from self._api()

    def _policy(self) -> Iterator[Metric]:
        status = self._services.enforcement.status()
        yield GaugeMetricFamily(
            "ocsentry_policy_version", "Version of the policy; rises with each change", status.version
        )
        yield GaugeMetricFamily("ocsentry_policy_rules", "Rules in force", status.rules)
        failed = float(status.failure is not None)
        yield GaugeMetricFamily(
            "ocsentry_policy_reload_failed", "1 if the last reload was refused, otherwise 0", failed
        )

    def _engine(self) -> Iterator[Metric]:
        counters = self._services.engine.counters()
        yield CounterMetricFamily("ocsentry_decisions", "Verdicts given", counters.decisions)
        yield CounterMetricFamily("ocsentry_refusals", "Verdicts that refused", counters.refused)
        yield CounterMetricFamily(
            "ocsentry_sources_evicted", "Idle sources evicted from the table of sources", counters.evicted
        )
        yield GaugeMetricFamily("ocsentry_sources", "Sources with a rate window", counters.sources)
        yield GaugeMetricFamily("ocsentry_penalties", "Sources in the penalty box", counters.penalties)
        yield GaugeMetricFamily(
            "ocsentry_blocks_not_stored",
            "Blocks that the database could not be told of yet",
            self._services.enforcement.blocks.unstored,
        )
        yield GaugeMetricFamily("ocsentry_leases", "Admitted clients", len(self._services.engine.leases()))

    def _sessions(self) -> Iterator[Metric]:
        states = Counter(view.state for view in self._services.sessions.list())
        family = GaugeMetricFamily("ocsentry_sessions", "Live sessions", labels=["state"])
        for state in SessionState:
            family.add_metric([state.value], states[state])
        yield family

    def _gateway(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("ocsentry_gateway", "Counters of the native gateway by name", labels=["counter"])
        for name, value in sorted(self._services.gateway_stats().items()):
            family.add_metric([name], value)
        yield family

    def _kernel(self) -> Iterator[Metric]:
        figures = self._services.kernel.figures()
        if figures is None:
            return
        family = CounterMetricFamily(
            "ocsentry_kernel_dropped_packets", "Packets that the kernel dropped for the policy", labels=["family"]
        )
        for name, packets in sorted(figures.dropped.items()):
            family.add_metric([name], packets)
        yield family
        yield GaugeMetricFamily(
            "ocsentry_kernel_networks", "Sources and networks that the kernel drops", figures.networks
        )
        yield GaugeMetricFamily(
            "ocsentry_kernel_left_out", "Refused networks for which the kernel's sets have no room", figures.left_out
        )

    def _api(self) -> Iterator[Metric]:
        requests = self._services.request_metrics
        answers = CounterMetricFamily("ocsentry_api_answers", "Answers of the API", labels=["method", "status"])
        for (method, status), count in sorted(requests.answers.items()):
            answers.add_metric([method, str(status)], count)
        yield answers
        yield CounterMetricFamily("ocsentry_api_seconds", "Seconds spent on answers", requests.seconds)
        yield CounterMetricFamily(
            "ocsentry_events_dropped", "Events that slow listeners missed", self._services.events.dropped
        )


def make_registry(services: Services) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServerCollector(services))
    return registry
