# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sources a node tells the others of: the nearest to a limit, so many at most, with so many events each."""

from __future__ import annotations

import json
import time
from ipaddress import ip_address

import pytest

from admin_api.fleet.changes.heavy import MOST, MOST_BURSTS, find_excesses, heaviest, limits_of
from sentry_engine import FORMAT_VERSION, Engine, Policy

OF_CONNECTIONS = {
    "id": "hundred",
    "type": "rate_limit",
    "remote_addr": "0.0.0.0/0",
    "max_connections": 100,
    "window_sec": 600,
    "penalty_duration_sec": 300,
}


@pytest.fixture
def engine(rules_folder):
    document = {"wolfsentry": {"version": FORMAT_VERSION, "rules": [OF_CONNECTIONS]}}
    (rules_folder / "limit.json").write_text(json.dumps(document))
    return Engine(Policy.load(rules_folder), core="reference")


def top_of(engine, now=None):
    now = now or time.time()
    return heaviest(engine.sources(), limits_of(engine, now), now)


def test_a_node_tells_of_the_heaviest_alone(engine):
    addresses = [f"198.51.100.{number}" for number in range(MOST + 20)]
    for address in addresses:
        engine.decide("connect", ip_address(address))
    heavy = addresses[::12]
    for address in heavy:
        engine.decide("connect", ip_address(address))
    top = top_of(engine)
    assert len(top) == MOST
    assert {network for network, _, _ in top[: len(heavy)]} == {f"{address}/32" for address in heavy}


def test_of_each_it_tells_the_newest_events(engine):
    start = time.monotonic()
    for number in range(MOST_BURSTS * 2):
        engine.decide("connect", ip_address("198.51.100.7"), now=start + 20 * number)
    now = time.time()
    ((_, _, bursts),) = top_of(engine, now)
    (source,) = engine.sources()
    newest = [now - burst.last for burst in source.events[-MOST_BURSTS:]]
    assert [last for _, _, last, _ in bursts] == pytest.approx(newest, abs=1.0)  # two readings of both clocks
    assert len(source.events) > MOST_BURSTS


def test_events_count_together_within_the_window_of_their_limit_alone(engine):
    limits = limits_of(engine, time.time())
    rows = [["198.51.100.7/32", 0, [["connect", 30.0, 20.0, 51]]]]
    assert find_excesses([(1, 0.0, rows), (2, 0.0, rows)], limits)[0].rule_id == "hundred"
    assert find_excesses([(1, 0.0, rows), (1, 0.0, rows)], limits) == [], "one node has its own limits"
    assert find_excesses([(1, 0.0, rows), (2, 580.0, rows)], limits) == [], "those of one are older than the window"
    few = [["198.51.100.7/32", 0, [["connect", 30.0, 20.0, 49]]]]
    assert find_excesses([(1, 0.0, rows), (2, 0.0, few)], limits) == [], "a hundred are allowed"
