# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of rule files are bounded: by decisions, and by the deadline of the caller."""

from __future__ import annotations

import itertools

import pytest

from sentry_engine import Policy, run_rule_tests
from sentry_engine.engine.rule_tests import MAX_TEST_DECISIONS, STRIDE
from sentry_engine.policy.lint import FindingKind

RATE = {"id": "five", "type": "rate_limit", "remote_addr": ["0.0.0.0/0", "::/0"], "action": "rate_limit"}
FIVE = {**RATE, "max_connections_per_minute": 5, "penalty_duration_sec": 60}


def policy_of(*tests: dict, rules: tuple[dict, ...] = (FIVE,), **more: object) -> Policy:
    return Policy.from_document({"wolfsentry": {"version": "1", "rules": list(rules), "tests": list(tests), **more}})


def test_a_policy_of_700_million_decisions_stops_at_its_bound():
    tests = [{"address": "192.0.2.1", "expect": "accept", "repeat": 70_000}] * 10_000
    *_, last = run_rule_tests(policy_of(*tests))
    assert last.kind is FindingKind.FAILED_TEST
    assert last.origin.pointer == f"/wolfsentry/tests/{MAX_TEST_DECISIONS // 70_000}"
    assert last.text.startswith("9986 tests were not run from this one on: the tests of a policy make at most 1000000")


def test_no_decision_is_made_after_the_deadline():
    asked = itertools.count()
    test = {"address": "192.0.2.1", "expect": "rate_limited", "repeat": 3 * STRIDE}
    (finding,) = run_rule_tests(policy_of(test, test), is_late=lambda: next(asked) == 2)
    assert finding.origin.pointer == "/wolfsentry/tests/0"
    assert finding.text == "2 tests were not run from this one on: the time for tests is over"
    assert next(asked) == 3


@pytest.mark.parametrize("repeat", [1, 5, 6, STRIDE, STRIDE + 1, STRIDE + 2, 2 * STRIDE + 7])
def test_the_last_of_many_events_counts_all_before(repeat):
    expect = "accept" if repeat <= 5 else "rate_limited"
    assert run_rule_tests(policy_of({"address": "192.0.2.1", "expect": expect, "repeat": repeat})) == []


@pytest.mark.parametrize("one", ["192.0.2.1", "2001:db8::1"])
def test_a_test_leaves_nothing_to_the_next(one):
    near = one[:-1] + "2"
    five = [{"address": address, "expect": "accept", "repeat": 5} for address in (one, near, one)]
    six = [{"address": address, "expect": "rate_limited", "repeat": 6} for address in (one, near, one)]
    for tests in (five, six, [*six, *five], [*five, *six]):
        assert run_rule_tests(policy_of(*tests)) == []


def test_sources_of_a_wide_aggregation_are_told_apart():
    tests = [{"address": f"192.0.2.{last}", "expect": "accept", "repeat": 5} for last in (1, 2)]
    assert run_rule_tests(policy_of(*tests, aggregation={"ipv4_prefix": 24})) == []


def test_penalties_of_many_64s_do_not_reach_the_next_test():
    many = [{"address": f"2001:db8:0:{n}::1", "expect": "rate_limited", "repeat": 6} for n in range(8)]
    last = {"address": "2001:db8:0:ff::1", "expect": "accept", "repeat": 5}
    assert run_rule_tests(policy_of(*many, last)) == []
