# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's counters as families. Every counter is in exactly one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client import Metric

# Family, help, label, and the label's value by counter.
FAMILIES: tuple[tuple[str, str, str, Mapping[str, str]], ...] = (
    (
        "ocsentry_connections",
        "TCP connections to the VPN by what became of them at their accept",
        "result",
        {
            "links_accepted": "accepted",
            "links_refused": "refused",
            "links_over_limit": "over_limit",
            "links_evicted": "evicted",
            "accept_errors": "failed",
            "health_probes": "health_probe",
        },
    ),
    (
        "ocsentry_tls_handshakes",
        "TLS handshakes by result",
        "result",
        {
            "handshakes_done": "full",
            "handshakes_resumed": "resumed",
            "handshakes_failed": "failed",
            "handshakes_timed_out": "timed_out",
        },
    ),
    (
        "ocsentry_connection_errors",
        "Connections that ended by an error",
        "reason",
        {
            "links_reset": "reset",
            "links_stalled": "stalled",
            "links_protocol_error": "protocol_error",
            "channels_dead": "no_answer_to_dpd",
            "dtls_dead": "no_answer_to_dpd_over_dtls",
        },
    ),
    (
        "ocsentry_dtls_handshakes",
        "DTLS handshakes by result",
        "result",
        {
            "dtls_handshakes_done": "done",
            "dtls_handshakes_failed": "failed",
            "dtls_handshakes_timed_out": "timed_out",
            "dtls_proofs_wrong": "wrong_proof",
            "dtls_proofs_missing": "no_proof",
        },
    ),
    (
        "ocsentry_dtls_datagrams_dropped",
        "Datagrams that the server dropped before a packet was in them",
        "reason",
        {
            "dtls_garbage": "not_dtls",
            "dtls_hello_malformed": "hello_malformed",
            "dtls_hello_refused": "hello_refused",
            "dtls_hello_unknown": "hello_unknown",
            "dtls_hello_duplicate": "hello_duplicate",
            "dtls_unmatched": "unmatched",
            "dtls_clear": "unencrypted",
            "dtls_unproven": "unproven",
            "dtls_datagrams_lost": "socket_full",
        },
    ),
)
BUCKETS = {
    "handshake_10ms": "0.01",
    "handshake_25ms": "0.025",
    "handshake_50ms": "0.05",
    "handshake_100ms": "0.1",
    "handshake_250ms": "0.25",
    "handshake_1000ms": "1.0",
}
MICROSECONDS = "handshake_microseconds"
PRE_TUNNEL = "conversations"  # no counters: numbers of the moment, of connections and of sessions
SESSIONS = "sessions"  # in ocsentry_sessions, by state
NOT_DROPPED = frozenset({"rx_acks_superseded"})  # merged with a later one
DIRECTIONS = {"rx_": "from_client", "tx_": "to_client"}


def gateway_metrics(counters: Mapping[str, int]) -> Iterator[Metric]:
    """Yields the families of ``counters``, by the names of ``native/runtime/stats.h``."""
    rest = dict(counters)
    waiting = rest.pop(PRE_TUNNEL, 0)
    yield GaugeMetricFamily(
        "ocsentry_connections_without_tunnel", "TLS connections that sent something and have no tunnel yet", waiting
    )
    rest.pop(SESSIONS, 0)
    for name, text, label, values in FAMILIES:
        family = CounterMetricFamily(name, text, labels=[label])
        for counter, said in values.items():
            family.add_metric([said], rest.pop(counter, 0))
        yield family
    yield _handshake_durations(rest, counters)
    yield _dropped_packets(rest)
    others = CounterMetricFamily("ocsentry_gateway_events", "What else the gateway counts", labels=["event"])
    for counter, value in sorted(rest.items()):
        others.add_metric([counter], value)
    yield others


def _handshake_durations(rest: dict[str, int], counters: Mapping[str, int]) -> Metric:
    buckets, so_far = [], 0
    for counter, bound in BUCKETS.items():
        so_far += rest.pop(counter, 0)
        buckets.append((bound, float(so_far)))
    # Workers count while they are read: the last bucket is never below those before it.
    count = max(so_far, counters.get("handshakes_done", 0) + counters.get("handshakes_resumed", 0))
    family = HistogramMetricFamily(
        "ocsentry_tls_handshake_duration_seconds", "Time from the accept to the end of the TLS handshake"
    )
    family.add_metric([], [*buckets, ("+Inf", float(count))], rest.pop(MICROSECONDS, 0) / 1e6)
    return family


def _dropped_packets(rest: dict[str, int]) -> Metric:
    family = CounterMetricFamily(
        "ocsentry_dropped_packets", "Packets of tunnels that the server dropped", labels=["direction", "reason"]
    )
    for counter in sorted(rest.keys() - NOT_DROPPED):
        if (direction := DIRECTIONS.get(counter[:3])) is not None:
            family.add_metric([direction, counter[3:]], rest.pop(counter))
    return family
