# SPDX-License-Identifier: GPL-3.0-or-later
from ipaddress import ip_address

import pytest

from vpn_frontend.auth import user_throttle
from vpn_frontend.auth.user_throttle import FORGET_AFTER, FREE_FAILURES, MAX_DELAY, SETS, WAYS, UserThrottle

HERE = ip_address("192.0.2.1")
DEVICE = "0123456789abcdef"


@pytest.fixture
def throttle():
    return UserThrottle()


def fail(throttle, user, count, now=0.0):
    for _ in range(count):
        throttle.note_failure(user, now)


def test_the_first_failures_cost_no_time(throttle):
    fail(throttle, "alice", FREE_FAILURES - 1)
    assert [throttle.take("alice", 0.0) for _ in range(100)] == [None] * 100, "many devices of one user at once"


def test_the_delay_grows_to_a_minute_and_no_further(throttle):
    fail(throttle, "alice", FREE_FAILURES)
    now, delays = 0.0, []
    for _ in range(8):
        assert throttle.take("alice", now) is None
        delays.append(throttle.take("alice", now))
        now += delays[-1]
        throttle.note_failure("alice", now)
    assert delays[0] == 2.0
    assert delays == sorted(delays)
    assert max(delays) == MAX_DELAY


def test_an_attack_that_ends_is_forgotten(throttle):
    fail(throttle, "alice", 1000)
    assert throttle.take("alice", 0.0) is None
    assert throttle.take("alice", 0.0) == MAX_DELAY
    later = (user_throttle.MAX_SCORE - FREE_FAILURES) * FORGET_AFTER + 1
    assert [throttle.take("alice", later) for _ in range(9)] == [None] * 9
    assert later <= 1801


def test_no_other_user_is_slowed(throttle):
    fail(throttle, "alice", 1000)
    throttle.take("alice", 0.0)
    assert [throttle.take(f"user{number}", 0.0) for number in range(5000)] == [None] * 5000


@pytest.mark.parametrize("spelling", ["ALICE", "Alice", "\uff41lice"])
def test_spellings_of_a_name_are_one_user(throttle, spelling):
    fail(throttle, "alice", FREE_FAILURES)
    throttle.take(spelling, 0.0)
    assert throttle.take("alice", 0.0) is not None
    throttle.learn(spelling, HERE, "")
    assert throttle.knows("alice", HERE, "")


def test_what_is_known_is_the_user_s_own(throttle):
    throttle.learn("alice", HERE, DEVICE)
    throttle.learn("alice", ip_address("2001:db8::1"), "short")
    elsewhere = ip_address("198.51.100.1")
    assert throttle.knows("alice", HERE, "")
    assert throttle.knows("alice", elsewhere, DEVICE)
    assert throttle.knows("alice", ip_address("2001:db8::ffff"), "")
    assert not throttle.knows("alice", elsewhere, "")
    assert not throttle.knows("alice", elsewhere, "short"), "a short device id is guessed"
    assert not throttle.knows("alice", ip_address("2001:db8:0:1::1"), "")
    assert not throttle.knows("bob", HERE, DEVICE)


def test_a_flood_of_names_does_not_free_a_user_who_is_attacked(throttle):
    fail(throttle, "alice", FREE_FAILURES + 5)
    throttle.take("alice", 0.0)
    for number in range(3 * SETS * WAYS):
        throttle.note_failure(f"user{number}", 0.0)
    assert throttle.take("alice", 0.0) is not None
    assert sum(map(len, throttle._sets)) <= SETS * WAYS
    assert max(map(len, throttle._sets)) == WAYS


def test_the_sources_that_are_known_are_bounded(throttle, monkeypatch):
    monkeypatch.setattr(user_throttle, "MAX_KNOWN", 3)
    for name in ("a", "b", "c", "a", "d"):
        throttle.learn(name, HERE, "")
    assert [throttle.knows(name, HERE, "") for name in "abcd"] == [True, False, True, True]
