# SPDX-License-Identifier: GPL-3.0-or-later
"""``top``: rates from two readings."""

from __future__ import annotations

from ocsentry.cli.commands.activity.top import Reading, compare, headline

STATUS = {"uptime": 61.0, "ready": True, "problems": [], "sessions": 2, "blocks": 1, "penalties": 1}


def session(name, rx, tx, **more):
    facts = {"address": "192.0.2.1", "ipv4": "10.0.0.2", "ipv6": None, "transport": "dtls"}
    return {"id": f"id-{name}", "user": name, "counters": {"rx_bytes": rx, "tx_bytes": tx}, **facts, **more}


def test_rates_are_those_between_two_readings():
    before = Reading(10.0, STATUS, [session("alice", 1000, 0), session("bob", 500, 500)])
    after = Reading(12.0, STATUS, [session("alice", 1400, 100), session("bob", 500, 9500), session("carol", 50, 0)])
    rows = compare(before, after)
    assert [(row["user"], row["from_client"], row["to_client"]) for row in rows] == [
        ("bob", 0, 4500),
        ("alice", 200, 50),
        ("carol", 25, 0),
    ]
    assert [row["user"] for row in compare(before, after, "total")] == ["bob", "alice", "carol"]
    assert [row["user"] for row in compare(before, after, "user")] == ["alice", "bob", "carol"]


def test_counters_that_begin_again_give_no_negative_rate():
    before, after = Reading(1.0, STATUS, [session("a", 900, 900)]), Reading(2.0, STATUS, [session("a", 10, 10)])
    assert compare(before, after)[0]["from_client"] == 0


def test_the_headline_counts_in_words():
    assert headline(Reading(0.0, STATUS, [])) == "up 1m 1s  ready  2 sessions  1 block  1 penalty"
    broken = {**STATUS, "ready": False, "problems": ["store: disk full"]}
    assert "NOT READY: store: disk full" in headline(Reading(0.0, broken, []))
