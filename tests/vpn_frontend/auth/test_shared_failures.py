# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed logins of a user at several nodes, without what carries them from one to the other."""

import pytest

from vpn_frontend.auth import shared_failures, user_throttle
from vpn_frontend.auth.shared_failures import UNTOLD_FAILURES, SharedFailures
from vpn_frontend.auth.user_throttle import FORGET_AFTER, FREE_FAILURES, MAX_DELAY, MAX_SCORE, UserThrottle
from vpn_frontend.host_accounts import Throttles

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


def test_users_of_one_name_at_two_virtual_hosts_and_the_server_do_not_slow_each_other():
    """Nodes that know of no hosts here tell of each user by the name alone: it counts as one of the server's own."""
    one, other = SharedFailures(KEY), SharedFailures(KEY)
    here, there = Throttles(one), Throttles(other)
    hosts = ("", "lab.example", "shop.example")
    throttles = {host: there.of(host) for host in hosts}
    for failing in hosts:
        fail(here.of(failing), "alice", 100)
        for name, count in one.take_worst(MANY):
            other.hear(name, count, 0.0)
        slowed = [host for host, throttle in throttles.items() if throttle.take("alice", 0.0) is not None]
        assert slowed == [*hosts[: hosts.index(failing) + 1]]
    assert [throttle.take("bob", 0.0) for throttle in throttles.values()] == [None] * len(hosts)


def test_a_name_of_another_host_takes_no_room(monkeypatch):
    monkeypatch.setattr(user_throttle, "SETS", 1)
    one, other = SharedFailures(KEY), SharedFailures(KEY)
    here, there = UserThrottle(one, "lab.example"), UserThrottle(other, "shop.example")
    fail(there, "alice", FREE_FAILURES + 1)
    for number in range(MANY):
        fail(here, f"user{number}", 100)
    tell((one, here), (other, there))
    assert there.take("alice", 0.0) is None
    assert there.take("alice", 0.0) is not None, "it was not forgotten"


def test_the_worst_are_told_and_the_rest_is_counted(nodes, monkeypatch):
    monkeypatch.setattr(shared_failures, "MAX_UNTOLD", 20)
    one, other = nodes
    for number in range(30):
        fail(one[1], f"user{number}", UNTOLD_FAILURES + 1)
    fail(one[1], "user7", 5)
    assert tell(one, other, most=2) == [6, 1]
    assert one[0].left_out == 10 + 18
    assert tell(one, other) == []
