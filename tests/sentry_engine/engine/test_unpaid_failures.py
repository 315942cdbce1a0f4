# SPDX-License-Identifier: GPL-3.0-or-later
"""A success pays back failures of the same user from the same source, and of no one else."""

from __future__ import annotations

import pytest

from sentry_engine.engine import unpaid_failures
from sentry_engine.engine.unpaid_failures import MAX_FAILURES, UnpaidFailures

HERE, THERE = "192.0.2.1", "192.0.2.2"
SOURCE = (bytes(16), 128)


@pytest.fixture
def engine(make_engine):
    """Three failures in 60 seconds; no detector."""
    limit = {"id": "guess", "type": "auth_limit", "remote_addr": "0.0.0.0/0", "max_failures": 3, "window_sec": 60}
    rules, detectors = [{**limit, "penalty_duration_sec": 30}], {"password_spray": False}
    return make_engine(rules, document={"detectors": detectors})


def fail(engine, user, now=0.0, address=HERE):
    return engine.decide("auth_failure", address, user=user, now=now).accepted


def succeed(engine, user, now=0.0, address=HERE):
    return engine.decide("auth_success", address, user=user, now=now).accepted


def test_an_account_of_ones_own_pays_for_no_guesses_at_another(engine):
    answers = []
    for second in range(200):
        answers.append(fail(engine, "victim", second / 10))
        succeed(engine, "mallory", second / 10)
    assert answers == [True] * 3 + [False] * 197


def test_failures_of_ones_own_do_not_shelter_guesses(engine):
    assert fail(engine, "mallory")
    assert fail(engine, "victim")
    assert succeed(engine, "mallory")
    assert fail(engine, "victim")
    assert succeed(engine, "mallory")
    assert fail(engine, "victim")
    assert succeed(engine, "mallory")
    assert not fail(engine, "victim")


def test_who_mistypes_and_then_logs_in_counts_nothing(engine):
    for second in range(40):
        assert fail(engine, f"user-{second}", second / 10)
        assert succeed(engine, f"user-{second}", second / 10)


def test_a_success_pays_one_failure_back_unless_the_file_says_more(make_engine, engine):
    assert [fail(engine, "ann") for _ in range(3)] == [True] * 3
    assert succeed(engine, "ann")
    assert [fail(engine, "ann") for _ in range(2)] == [True, False]


def test_a_success_elsewhere_or_of_nobody_pays_nothing_back(engine):
    assert [fail(engine, "ann") for _ in range(3)] == [True] * 3
    assert succeed(engine, "ann", address=THERE)
    assert engine.decide("auth_success", HERE, now=0.0).accepted
    assert not fail(engine, "ann")


def test_a_failure_that_left_the_window_is_not_paid_back(engine):
    assert fail(engine, "mallory", 0.0)
    assert [fail(engine, "victim", 59.0) for _ in range(2)] == [True, True]
    assert succeed(engine, "mallory", 60.0)
    assert [fail(engine, "victim", 60.0) for _ in range(2)] == [True, False]


def test_a_failure_that_a_penalty_cleared_is_not_paid_back(engine):
    assert [fail(engine, "mallory") for _ in range(4)] == [True] * 3 + [False]
    assert [fail(engine, "victim", 31.0) for _ in range(3)] == [True] * 3
    succeed(engine, "mallory", 31.0)
    assert not fail(engine, "victim", 31.0)


class TestBounds:
    def test_of_one_user(self):
        unpaid = UnpaidFailures()
        for second in range(2 * MAX_FAILURES):
            unpaid.note(SOURCE, "ann", float(second))
        assert unpaid.take(SOURCE, "ann", 1_000, -1.0) == MAX_FAILURES

    def test_of_users_and_sources(self, monkeypatch):
        monkeypatch.setattr(unpaid_failures, "MAX_USERS", 2)
        monkeypatch.setattr(unpaid_failures, "MAX_SOURCES", 2)
        unpaid = UnpaidFailures()
        sources = [(bytes(15) + bytes([n]), 128) for n in range(3)]
        for source in sources:
            for user in ("a", "b", "c"):
                unpaid.note(source, user, 0.0)
        assert [[unpaid.take(source, user, 1, -1.0) for user in "abc"] for source in sources] == [
            [0, 0, 0],
            [1, 1, 0],
            [1, 1, 0],
        ]

    def test_what_is_taken_is_gone(self):
        unpaid = UnpaidFailures()
        for now in (1.0, 2.0, 3.0):
            unpaid.note(SOURCE, "ann", now)
        assert [unpaid.take(SOURCE, "ann", 1, 1.0) for _ in range(3)] == [1, 1, 0]
