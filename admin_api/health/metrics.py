# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of one server: its metrics are read from the engine, the gateway and the API at each scrape."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

from admin_api.health.fleet_metrics import fleet_metrics
from admin_api.health.session_metrics import SessionMetrics
from admin_api.metrics.gateway import gateway_metrics
from vpn_frontend.ports import VpnEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from admin_api.services import Services

# Events that are counted as a family with their reason: family, help, label.
BY_REASON = {
    VpnEvent.LOGIN_REFUSED: ("ocsentry_logins_refused", "Logins refused, by reason", "reason"),
    VpnEvent.TUNNEL_REFUSED: ("ocsentry_tunnels_refused", "Tunnels refused to authenticated users", "reason"),
    VpnEvent.LINK_REFUSED: ("ocsentry_connections_refused", "Connections closed before a tunnel", "reason"),
    VpnEvent.SESSION_CLOSED: ("ocsentry_sessions_closed", "Sessions that ended, by reason", "reason"),
    VpnEvent.CHANNEL_LOST: ("ocsentry_channels_lost", "Channels that ended while their session lived", "cause"),
    VpnEvent.DTLS_DOWN: ("ocsentry_dtls_fallbacks", "Sessions that went back from DTLS to TLS, by cause", "cause"),
}
TOTALS = {
    VpnEvent.LOGIN_ACCEPTED: ("ocsentry_logins_accepted", "Logins accepted"),
    VpnEvent.SESSION_OPENED: ("ocsentry_sessions_opened", "Sessions opened"),
    VpnEvent.SESSION_ROAMED: ("ocsentry_sessions_roamed", "Sessions that continued on a new connection"),
    VpnEvent.DTLS_UP: ("ocsentry_dtls_established", "Sessions that changed to DTLS"),
    VpnEvent.BACKEND_FAILED: ("ocsentry_backend_failures", "Failures of directories, journals and tasks"),
}


class ServerCollector(Collector):
    """Collects the metrics that are not kept as such."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._sessions = SessionMetrics(services)

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("ocsentry_build", "The running version", {"version": self._services.version})
        yield from self._policy()
        yield from self._engine()
        yield from self._sessions.collect()
        yield from self._events()
        counters = self._services.gateway_stats()
        yield from gateway_metrics(counters)
        family = GaugeMetricFamily(
            "ocsentry_gateway",
            "Counters of the gateway by name, as before they had families",
            labels=["counter"],
        )
        for name, value in sorted(counters.items()):
            family.add_metric([name], value)
        yield family
        yield from self._kernel()
        yield from self._facts()
        yield from fleet_metrics(self._services.fleet)
        yield from self._logins()
        yield from self._api()

    def _policy(self) -> Iterator[Metric]:
        status = self._services.enforcement.status()
        yield GaugeMetricFamily(
            "ocsentry_policy_version", "Version of the policy; rises with each change", status.version
        )
        yield GaugeMetricFamily("ocsentry_policy_rules", "Rules in force", status.rules)
        loaded = status.loaded_at.timestamp()
        yield GaugeMetricFamily("ocsentry_policy_loaded_timestamp_seconds", "When the policy was loaded", loaded)
        failed = float(status.failure is not None)
        yield GaugeMetricFamily(
            "ocsentry_policy_reload_failed", "1 if the last reload was refused, otherwise 0", failed
        )
        blocks = self._services.enforcement.blocks
        yield GaugeMetricFamily("ocsentry_blocks", "Blocks in force", len(blocks))
        yield GaugeMetricFamily(
            "ocsentry_blocks_not_stored", "Blocks that the database could not be told of yet", blocks.unstored
        )

    def _engine(self) -> Iterator[Metric]:
        counters = self._services.engine.counters()
        yield CounterMetricFamily("ocsentry_decisions", "Verdicts given", counters.decisions)
        yield CounterMetricFamily("ocsentry_refusals", "Verdicts that refused", counters.refused)
        verdicts = CounterMetricFamily(
            "ocsentry_verdicts", "Verdicts on sources by action and reason", labels=["action", "reason"]
        )
        for (action, reason), count in sorted(counters.verdicts.items()):
            verdicts.add_metric([action.value, reason.value], count)
        yield verdicts
        yield CounterMetricFamily(
            "ocsentry_sources_evicted", "Idle sources evicted from the table of sources", counters.evicted
        )
        yield GaugeMetricFamily("ocsentry_sources", "Sources with a rate window", counters.sources)
        yield GaugeMetricFamily("ocsentry_penalties", "Sources in the penalty box", counters.penalties)
        yield GaugeMetricFamily("ocsentry_leases", "Admitted clients", len(self._services.engine.leases()))
        yield from self._state_saves()

    def _state_saves(self) -> Iterator[Metric]:
        saves = self._services.state_saves
        counts = CounterMetricFamily(
            "ocsentry_engine_state_saves",
            "Saves of what is known of sources and users: of changes, or of everything by reason",
            labels=["reason"],
        )
        for reason, count in sorted(saves.counts.items()):
            counts.add_metric([reason], count)
        yield counts
        durations = HistogramMetricFamily(
            "ocsentry_engine_state_save_duration_seconds",
            "Time that a save of the engine's state took",
            labels=["saved"],
        )
        for saved, seconds in sorted(saves.durations.items()):
            durations.add_metric([saved], seconds.buckets(), seconds.sum)
        yield durations

    def _events(self) -> Iterator[Metric]:
        counts = self._services.events.event_counts
        for kind, (name, text, label) in BY_REASON.items():
            family = CounterMetricFamily(name, text, labels=[label])
            for reason, count in sorted(counts.by_reason(kind).items()):
                family.add_metric([reason], count)
            yield family
        for kind, (name, text) in TOTALS.items():
            yield CounterMetricFamily(name, text, counts.total(kind))
        dropped = self._services.events.dropped
        yield CounterMetricFamily("ocsentry_events_dropped", "Events that slow listeners missed", dropped)

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

    def _facts(self) -> Iterator[Metric]:
        facts = self._services.facts
        ends = GaugeMetricFamily(
            "ocsentry_certificate_expiry_timestamp_seconds", "When a certificate ends", labels=["certificate"]
        )
        for use, end in sorted(facts.certificates.items()):
            ends.add_metric([use], end.timestamp())
        yield ends
        ages = GaugeMetricFamily("ocsentry_feed_age_seconds", "Time since a list was downloaded", labels=["feed"])
        now = self._services.clock.wall()
        for feed, downloaded_at in sorted(facts.feeds.items()):
            ages.add_metric([feed], max(0.0, (now - downloaded_at).total_seconds()))
        yield ages

    def _logins(self) -> Iterator[Metric]:
        logins = self._services.login_metrics
        checks = CounterMetricFamily(
            "ocsentry_auth_checks", "Outcomes of authentication methods", labels=["method", "result"]
        )
        for labels, count in sorted(logins.checks.items()):
            checks.add_metric(labels, count)
        yield checks
        durations = HistogramMetricFamily(
            "ocsentry_auth_check_duration_seconds",
            "Time until the outcome of a method, without the user's own",
            labels=["method"],
        )
        for method, seconds in sorted(logins.durations.items()):
            durations.add_metric([method], seconds.buckets(), seconds.sum)
        yield durations

    def _api(self) -> Iterator[Metric]:
        requests = self._services.request_metrics
        answers = CounterMetricFamily("ocsentry_api_answers", "Answers of the API", labels=["method", "status"])
        for (method, status), count in sorted(Counter(requests.answers).items()):
            answers.add_metric([method, str(status)], count)
        yield answers
        yield CounterMetricFamily("ocsentry_api_seconds", "Seconds spent on answers", requests.seconds)


def make_registry(services: Services) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServerCollector(services))
    for collector in services.request_metrics.collectors():
        registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
