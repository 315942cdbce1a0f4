# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node of a fleet counts of its membership and the changes that it follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from admin_api.fleet.node import FleetNode


def fleet_metrics(fleet: FleetNode | None) -> Iterator[Metric]:
    """Yields nothing for a server without a fleet."""
    if fleet is None:
        return
    membership, changes = fleet.membership, fleet.changes
    yield GaugeMetricFamily(
        "ocsentry_fleet_member", "1 while this node acts for its fleet, otherwise 0", float(membership.is_member)
    )
    yield GaugeMetricFamily(
        "ocsentry_fleet_draining", "1 while an operator drains this node", float(membership.draining)
    )
    yield GaugeMetricFamily("ocsentry_fleet_revision", "Up to here changes are in force on this node", changes.revision)
    newest = changes.revision if membership.answer is None else membership.answer.revision
    yield GaugeMetricFamily(
        "ocsentry_fleet_changes_behind", "Changes that this node has not applied", max(0, newest - changes.revision)
    )
    yield CounterMetricFamily(
        "ocsentry_fleet_unknown_changes", "Changes of kinds that this version does not know", changes.unknown
    )
    left_out = 0 if fleet.penalties is None else fleet.penalties.left_out
    yield CounterMetricFamily(
        "ocsentry_fleet_penalties_left_out", "Penalties of this node that the others were not told of", left_out
    )
    yield CounterMetricFamily(
        "ocsentry_fleet_failed_logins_left_out",
        "Users with failed logins here that the others were not told of",
        fleet.sessions.admission.failures.left_out,
    )
    peers = fleet.sessions.peers
    told = CounterMetricFamily("ocsentry_fleet_peer_messages", "Orders told to other nodes", labels=["result"])
    for result, count in peers.caller.counts.items():
        told.add_metric([result.value], count)
    yield told
    yield CounterMetricFamily(
        "ocsentry_fleet_peer_refusals", "Connections and messages of peers that were refused", peers.refusals.count
    )
