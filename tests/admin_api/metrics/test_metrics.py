# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics: families with bounded labels, and counters that never fall."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from admin_api.metrics.event_counts import MAX_REASONS, EventCounts
from admin_api.metrics.gateway import BUCKETS, gateway_metrics
from vpn_frontend.auth.result import Accepted, FirstForm, Refused, Unavailable
from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import UserRecord, VpnEvent

STATS = Path(__file__).parents[3] / "vpn_frontend" / "native" / "runtime" / "stats.h"
COUNTERS = re.findall(r"^    X\((\w+)\)", STATS.read_text(), re.MULTILINE)


async def scraped(server):
    text = (await server.client.get("/metrics")).text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def values(families):
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_every_counter_of_the_gateway_is_in_one_family():
    counters = {name: 1000 + number for number, name in enumerate(COUNTERS)}
    found = values(gateway_metrics(counters))
    counted = [value for (name, *_), value in found.items() if name.endswith("_total")]
    expected = [value for name, value in counters.items() if name not in {*BUCKETS, "handshake_microseconds"}]
    assert sorted(counted) == sorted(expected)
    assert found["ocsentry_dropped_packets_total", "from_client", "spoofed"] == counters["rx_spoofed"]
    assert found["ocsentry_tls_handshakes_total", "resumed"] == counters["handshakes_resumed"]


def test_numbers_of_the_moment_are_no_counters():
    found = values(gateway_metrics({"conversations": 3, "sessions": 5, "rekeys": 1}))
    assert found["ocsentry_connections_without_tunnel",] == 3
    assert 5 not in found.values()
    assert found["ocsentry_gateway_events_total", "rekeys"] == 1


def test_handshake_durations_are_a_histogram():
    counters = {"handshake_10ms": 3, "handshake_50ms": 2, "handshakes_done": 6, "handshake_microseconds": 1_500_000}
    found = values(gateway_metrics(counters))
    name = "ocsentry_tls_handshake_duration_seconds"
    buckets = [found[f"{name}_bucket", le] for le in ("0.01", "0.025", "0.05", "1.0", "+Inf")]
    assert buckets == [3, 3, 5, 5, 6]
    assert (found[f"{name}_count",], found[f"{name}_sum",]) == (6, 1.5)


def test_reasons_are_bounded():
    counts = EventCounts()
    for number in range(MAX_REASONS + 50):
        counts.count(VpnEvent.LOGIN_REFUSED, {"reason": f"reason_{number}"})
    counts.count(VpnEvent.LOGIN_REFUSED, {"reason": 'x"} evil'})
    counts.count("policy_loaded", {})
    reasons = counts.by_reason(VpnEvent.LOGIN_REFUSED)
    assert len(reasons) == MAX_REASONS + 1
    assert reasons["other"] == 51
    assert counts.total(VpnEvent.LOGIN_REFUSED) == MAX_REASONS + 51


@pytest.mark.asyncio
async def test_verdicts_logins_and_api_are_counted(server):
    server.engine.decide("connect", "192.0.2.65")
    hub, observe = server.services.events, server.services.login_metrics
    hub.emit(VpnEvent.LOGIN_ACCEPTED, user="alice")
    hub.emit(VpnEvent.LOGIN_REFUSED, user="alice", reason="password")
    hub.emit(VpnEvent.DTLS_DOWN, session="s", user="alice", cause="dead")
    observe("password", Accepted(UserRecord("alice"), ()), 0.25)
    observe("password", Refused("no", "password"), 0.3)
    observe("radius", Unavailable("later"), 30.5)
    observe("radius", FirstForm(), 0.0)
    await server.client.get("/api/v1/status")
    found = await scraped(server)
    assert found["ocsentry_verdicts_total", "reject", "rule"] == 1
    assert found["ocsentry_logins_accepted_total",] == 1
    assert found["ocsentry_logins_refused_total", "password"] == 1
    assert found["ocsentry_dtls_fallbacks_total", "dead"] == 1
    assert found["ocsentry_auth_checks_total", "password", "accepted"] == 1
    assert found["ocsentry_auth_checks_total", "radius", "unavailable"] == 1
    assert found["ocsentry_auth_check_duration_seconds_count", "password"] == 2
    assert found["ocsentry_auth_check_duration_seconds_sum", "password"] == 0.55
    buckets = [found["ocsentry_auth_check_duration_seconds_bucket", at, "password"] for at in ("0.1", "0.25", "0.5")]
    assert buckets == [0, 1, 2]  # 0.25 s is in the bucket up to it
    assert found["ocsentry_auth_check_duration_seconds_bucket", "60.0", "radius"] == 1
    assert found["ocsentry_auth_check_duration_seconds_count", "radius"] == 1
    assert found["ocsentry_api_request_duration_seconds_count", "GET"] == 1


@pytest.mark.asyncio
async def test_saves_of_the_engine_state_are_counted_by_reason(server):
    saves = server.services.state_saves
    saves.observe("overflow", 1.5)
    saves.observe("", 0.002)
    saves.observe("", 0.002)
    found = await scraped(server)
    assert found["ocsentry_engine_state_saves_total", "overflow"] == 1
    assert found["ocsentry_engine_state_saves_total", "changes"] == 2
    assert found["ocsentry_engine_state_save_duration_seconds_sum", "whole"] == 1.5
    assert found["ocsentry_engine_state_save_duration_seconds_bucket", "0.005", "changes"] == 2


@pytest.mark.asyncio
async def test_bytes_by_transport_never_fall(server, view):
    carried = Counters(rx_bytes=100, tx_bytes=200, dtls_rx_bytes=40, dtls_tx_bytes=200)
    server.sessions.add(view(counters=carried))
    name = "ocsentry_tunnel_bytes_total"
    before = await scraped(server)
    assert [before[name, "from_client", one] for one in ("tls", "dtls")] == [60, 40]
    assert [before[name, "to_client", one] for one in ("tls", "dtls")] == [0, 200]
    server.sessions.views.clear()  # it has ended, and the gateway has not yet reported its last counters
    assert (await scraped(server))[name, "from_client", "dtls"] == 40
    fields = {"rx_bytes": 110, "tx_bytes": 200, "dtls_rx_bytes": 50, "dtls_tx_bytes": 200}
    server.services.events.emit(VpnEvent.SESSION_CLOSED, session="s1", user="alice", reason="logout", **fields)
    after = await scraped(server)
    assert after[name, "from_client", "dtls"] == 50
    assert after["ocsentry_sessions_closed_total", "logout"] == 1


@pytest.mark.asyncio
async def test_the_page_lists_every_family(server):
    page = (STATS.parents[3] / "docs" / "metrics.md").read_text()
    listed = set(re.findall(r"^\| `(ocsentry_\w+)`", page, re.MULTILINE))
    text = (await server.client.get("/metrics")).text
    families = {name for name in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE) if name.startswith("ocsentry")}
    families = {name for name in families if not name.endswith("_created")}
    assert {name for name in listed if not name.startswith(("ocsentry_kernel", "ocsentry_fleet"))} == families
