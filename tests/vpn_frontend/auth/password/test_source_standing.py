# SPDX-License-Identifier: GPL-3.0-or-later
from ipaddress import ip_address

import pytest

from vpn_frontend.auth.password import source_standing
from vpn_frontend.auth.password.source_standing import FORGET_AFTER, SourceStanding

HOME, AWAY = ip_address("192.0.2.1"), ip_address("192.0.2.2")


@pytest.fixture
def standing():
    return SourceStanding()


def test_a_source_that_guesses_comes_after_one_that_does_not(standing):
    standing.note(AWAY, right=False, now=1.0)
    standing.note(AWAY, right=False, now=1.0)
    assert standing.rank(HOME, 2.0) < standing.rank(AWAY, 2.0) == (2, True)


def test_a_source_with_a_login_comes_before_an_unknown_one(standing):
    standing.note(HOME, right=True, now=1.0)
    assert standing.rank(HOME, 2.0) < standing.rank(AWAY, 2.0)


def test_a_success_takes_no_failure_back(standing):
    standing.note(AWAY, right=False, now=1.0)
    standing.note(AWAY, right=True, now=1.0)
    assert standing.rank(AWAY, 1.0) == (1, False)
    assert standing.rank(HOME, 1.0) < standing.rank(AWAY, 1.0)


def test_failures_are_forgotten_after_the_last_one(standing):
    standing.note(AWAY, right=False, now=0.0)
    standing.note(AWAY, right=False, now=500.0)
    assert standing.rank(AWAY, 500.0 + FORGET_AFTER - 1) == (2, True)
    assert standing.rank(AWAY, 500.0 + FORGET_AFTER) == (0, True)
    standing.note(AWAY, right=False, now=500.0 + FORGET_AFTER)
    assert standing.rank(AWAY, 500.0 + FORGET_AFTER) == (1, True)


@pytest.mark.parametrize(
    ("other", "failures"), [("2001:db8:1:ffff::2", 1), ("2001:db8:2::1", 0), ("::ffff:192.0.2.1", 0)]
)
def test_addresses_of_one_site_are_one_source(standing, other, failures):
    standing.note(ip_address("2001:db8:1::1"), right=False, now=0.0)
    assert standing.rank(ip_address(other), 0.0)[0] == failures


def test_the_table_is_bounded_and_forgets_whom_it_saw_least_recently(standing, monkeypatch):
    monkeypatch.setattr(source_standing, "MAX_SOURCES", 2)
    for number in (1, 2, 1, 3):
        standing.note(ip_address(number), right=False, now=0.0)
    assert [standing.rank(ip_address(number), 0.0)[0] for number in (1, 2, 3)] == [2, 0, 1]
