# SPDX-License-Identifier: GPL-3.0-or-later
"""A source that spreads over the nodes of a fleet exceeds a limit of all of them together."""

from __future__ import annotations

import asyncio
import json
from ipaddress import ip_address

import pytest

from admin_api.fleet.changes import heavy, penalties
from lab.timeouts import TIMEOUT
from sentry_engine import FORMAT_VERSION
from tests.admin_api.fleet.changes.test_penalties import tell

pytestmark = pytest.mark.asyncio
SPREAD, CALM, HEAD_OFFICE = "198.51.100.7", "198.51.100.8", "203.0.113.7"
LIMIT = {
    "id": "four",
    "type": "rate_limit",
    "remote_addr": "0.0.0.0/0",
    "max_connections": 4,
    "window_sec": 600,
    "penalty_duration_sec": 300,
}


def connect(running, address, count):
    return [running.engine.decide("connect", ip_address(address)).accepted for _ in range(count)]


async def found_by(one, other):
    """Returns what the first node finds: it counts rows of the other one that are a few seconds old at most."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            assert await other.node.heavy.look() == [], "one node adds up: the first"
            if found := await one.node.heavy.look():
                return found


async def test_a_source_that_spreads_over_nodes_is_penalised_on_all(run_node, rules_folder, patient_calls, monkeypatch):
    monkeypatch.setattr(penalties.PenaltyPart, "start", lambda part: None)
    monkeypatch.setattr(heavy.HeavyPart, "start", lambda part: None)  # this test looks itself
    (rules_folder / "limit.json").write_text(json.dumps({"wolfsentry": {"version": FORMAT_VERSION, "rules": [LIMIT]}}))
    nodes = [await run_node("n1"), await run_node("n2")]
    one, other = sorted(nodes, key=lambda running: running.node.membership.identity.node)  # the lowest adds up
    assert connect(one, SPREAD, 3) == connect(other, SPREAD, 3) == [True] * 3, "each node has its own limit"
    assert connect(one, CALM, 2) == connect(other, CALM, 2) == [True] * 2
    connect(one, HEAD_OFFICE, 9)
    assert await one.node.heavy.look() == []
    (found,) = await found_by(one, other)
    assert (found.network, found.rule_id, found.seconds) == (f"{SPREAD}/32", "four", 300.0)
    assert not connect(one, SPREAD, 1)[0]
    assert await tell(one, other) == 1
    assert not connect(other, SPREAD, 1)[0]
    assert connect(one, CALM, 1) == connect(other, CALM, 1) == [True]
    again = await found_by(one, other)
    assert [one.network for one in again] == [f"{CALM}/32"], "the first one has had its penalty for these events"
