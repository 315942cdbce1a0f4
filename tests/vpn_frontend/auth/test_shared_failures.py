# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed logins of a user at several nodes, without what carries them from one to the other."""

import pytest

from vpn_frontend.auth import shared_failures
from vpn_frontend.auth.shared_failures import UNTOLD_FAILURES, SharedFailures
from vpn_frontend.auth.user_throttle import FORGET_AFTER, FREE_FAILURES, MAX_DELAY, MAX_SCORE, UserThrottle

KEY = bytes(range(32))
MANY = 16


@pytest.fixture
def nodes():
    """Failures and throttle of two nodes."""
    shared = [SharedFailures(KEY), SharedFailures(KEY)]
    return [(one, UserThrottle(one)) for one in shared]


def fail(throttle, user, count, now=0.0):
    for _ in range(count):
        throttle.note_failure(user, now)


def tell(one, other, now=0.0, most=MANY):
    told = one[0].take_worst(most)
    for user, count in told:
        other[0].hear(user, count, now)
    return [count for _, count in told]


def test_slips_are_not_told(nodes):
    one, other = nodes
    for user in ("alice", "bob"):
        fail(one[1], user, UNTOLD_FAILURES)
    assert tell(one, other) == []


def test_failures_of_all_nodes_slow_a_user_on_each(nodes):
    one, other = nodes
    half = FREE_FAILURES // 2 + UNTOLD_FAILURES
    fail(one[1], "alice", half)
    fail(other[1], "Alice", half)
    assert [throttle.take("alice", 0.0) for _, throttle in nodes] == [None, None]
    assert tell(one, other) == [half - UNTOLD_FAILURES]
    assert other[1].take("alice", 0.0) is not None
    assert other[1].take("bob", 0.0) is None
    assert one[1].take("alice", 0.0) is None, "it has not heard yet"


def test_an_attempt_at_one_node_delays_the_next_one_at_another(nodes):
    one, other = nodes
    fail(one[1], "alice", 100)
    tell(one, other)
    fail(one[1], "alice", 1, now=MAX_DELAY)
    tell(one, other, now=MAX_DELAY)
    assert other[1].take("alice", 2 * MAX_DELAY - 1) == pytest.approx(1)


def test_what_was_heard_is_not_told_on_and_is_forgotten_alike(nodes):
    one, other = nodes
    fail(one[1], "alice", 1000)
    tell(one, other)
    assert tell(other, one) == []
    later = (MAX_SCORE - FREE_FAILURES) * FORGET_AFTER + 1
    assert [other[1].take("alice", later) for _ in range(9)] == [None] * 9


def test_the_worst_are_told_and_the_rest_is_counted(nodes, monkeypatch):
    monkeypatch.setattr(shared_failures, "MAX_UNTOLD", 20)
    one, other = nodes
    for number in range(30):
        fail(one[1], f"user{number}", UNTOLD_FAILURES + 1)
    fail(one[1], "user7", 5)
    assert tell(one, other, most=2) == [6, 1]
    assert one[0].left_out == 10 + 18
    assert tell(one, other) == []
