# SPDX-License-Identifier: GPL-3.0-or-later
"""The sets follow the engine: batches, removals at once, and what happens when the helper fails."""

from __future__ import annotations

import pytest

from ocsentry.privileges.packet_filter.elements import MARGIN, Elements
from ocsentry.privileges.packet_filter.kernel_filter import KernelFilter
from ocsentry.privileges.packet_filter.verbs import MAX_CHANGES
from sentry_engine import Engine, Policy, Prefixes, Reason, make_block

end_of = Elements.end_of


class Sets:
    """The helper's verbs, on a dictionary."""

    def __init__(self):
        self.held = {}
        self.calls = []
        self.before_change = lambda: None
        self.opened = 0

    def open_filter(self):
        self.opened += 1
        self.held = {}

    def change_filter(self, remove, add):
        self.before_change()
        assert len(remove) <= MAX_CHANGES
        assert len(add) <= MAX_CHANGES
        self.calls.append((list(remove), list(add)))
        for network in remove:
            del self.held[network]
        self.held |= dict(add)

    def read_filter(self):
        return {"ipv4": 7, "ipv6": 0}


def follow(sets):
    sets.remove_lifted()
    while sets.add_some():
        sets.remove_lifted()


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def engine(clock):
    with Engine(Policy(), never_block=["203.0.113.7/32"], clock=lambda: clock[0], wall_clock=lambda: clock[0]) as made:
        yield made


@pytest.fixture
def sets():
    return Sets()


@pytest.fixture
def follower(engine, sets, clock):
    return KernelFilter(engine, sets, clock=lambda: clock[0])


def test_penalties_and_blocks_are_added_with_their_time(engine, sets, follower):
    engine.penalize("192.0.2.1", 60, reason=Reason.PENALTY)
    engine.block("198.51.100.0/24", rule_id="block:1")
    engine.block("203.0.113.0/24", rule_id="block:2", expires_at=1100.0)
    follow(follower)
    assert sets.held["192.0.2.1/32"] == 60 - MARGIN
    assert sets.held["198.51.100.0/24"] == 0
    assert "203.0.113.0/24" not in sets.held  # never_block is cut out of it
    assert sets.held["203.0.113.128/25"] == 100 - MARGIN
    assert follower.drops("192.0.2.1")
    assert follower.drops("203.0.113.200")
    assert not follower.drops("203.0.113.7")
    assert not follower.drops("192.0.2.2")


def test_nothing_is_sent_when_nothing_changed(engine, sets, follower):
    engine.block("198.51.100.0/24", rule_id="block:1")
    follow(follower)
    follow(follower)
    assert len(sets.calls) == 1


def test_a_lift_removes_what_was_lifted_alone(engine, sets, follower):
    for number, network in enumerate(("198.51.100.0/24", "198.51.100.7/32", "192.0.2.0/24")):
        engine.block(network, rule_id=f"block:{number}")
    follow(follower)
    engine.unblock("block:0")
    follower.remove_lifted()
    assert set(sets.held) == {"192.0.2.0/24", "198.51.100.7/32"}  # that block is in force


def test_a_lift_stops_what_is_being_added(engine, sets, follower):
    """Its list was computed before the unblock."""
    hosts = [f"10.0.{number >> 8}.{number & 255}" for number in range(MAX_CHANGES + 10)]
    engine.block_many(make_block(f"block:{host}", Prefixes.of(host), "", None) for host in hosts)

    def unblock_all():
        sets.before_change = lambda: None
        for host in hosts:
            engine.unblock(f"block:{host}")

    sets.before_change = unblock_all
    follower.remove_lifted()
    assert follower.add_some()
    assert len(sets.held) == MAX_CHANGES  # the batch that was on its way
    follower.remove_lifted()
    assert sets.held == {}
    assert not follower.add_some()
    assert sets.held == {}


def test_a_changed_end_is_a_new_element(engine, sets, follower):
    engine.block("198.51.100.1", rule_id="block:1", expires_at=1100.0)
    follow(follower)
    engine.block("198.51.100.1", rule_id="block:1", expires_at=1050.0)
    follow(follower)
    assert sets.held == {"198.51.100.1/32": 50 - MARGIN}


def test_what_has_ended_is_not_removed_again(engine, sets, follower, clock):
    engine.block("198.51.100.1", rule_id="block:1", expires_at=1100.0)
    follow(follower)
    clock[0] = 1101.0
    del sets.held["198.51.100.1/32"]  # as the kernel does
    follow(follower)
    assert len(sets.calls) == 1
    assert not follower.drops("198.51.100.1")


def test_a_failure_empties_the_table_and_the_next_round_fills_it(engine, sets, follower):
    engine.block("198.51.100.1", rule_id="block:1")

    def fail():
        raise OSError(0, "no such table")

    sets.before_change = fail
    with pytest.raises(OSError, match="no such table"):
        follow(follower)
    assert sets.opened == 1
    assert not follower.drops("198.51.100.1")
    sets.before_change = lambda: None
    follow(follower)
    assert set(sets.held) == {"198.51.100.1/32"}


def test_a_change_that_took_long_is_undone(engine, sets, follower, clock):
    """The kernel counts a timeout from when the element is made: it would outlast the engine's refusal."""
    engine.block("198.51.100.1", rule_id="block:1", expires_at=1100.0)

    def wait():
        clock[0] += MARGIN + 0.1

    sets.before_change = wait
    with pytest.raises(TimeoutError):
        follow(follower)
    assert sets.held == {}


def test_one_change_beside_many_blocks_reads_no_other(engine, sets, follower, monkeypatch):
    hosts = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(5000)]
    engine.block_many(make_block(f"block:{host}", Prefixes.of(host), "", None) for host in hosts)
    follow(follower)
    asked = []
    monkeypatch.setattr(Elements, "end_of", lambda self, key: asked.append(key) or end_of(self, key))
    sets.calls.clear()
    engine.block("198.51.100.1", rule_id="block:1")
    engine.unblock(f"block:{hosts[7]}")
    follow(follower)
    assert sets.calls == [([f"{hosts[7]}/32"], []), ([], [("198.51.100.1/32", 0)])]
    assert len(asked) == 3  # two comparisons, and the end of what is added


def test_counts_go_on_over_a_new_table(follower):
    assert follower.read_figures().dropped == {"ipv4": 7, "ipv6": 0}
    follower.open_again()
    assert follower.figures().dropped == {"ipv4": 7, "ipv6": 0}
    assert follower.read_figures().dropped == {"ipv4": 14, "ipv6": 0}
