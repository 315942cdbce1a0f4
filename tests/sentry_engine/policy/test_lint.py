# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings of ``rules check`` on valid policies, and the tests in rule files."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentry_engine import Engine, Policy, find_policy_issues, run_rule_tests
from sentry_engine.policy.lint import FindingKind

RULES = Path(__file__).parents[3] / "rules"


def white(rule_id: str, *networks: str, **more: object) -> dict:
    return {"id": rule_id, "type": "whitelist", "remote_addr": list(networks), **more}


def black(rule_id: str, *networks: str, **more: object) -> dict:
    return {"id": rule_id, "type": "blacklist", "remote_addr": list(networks), **more}


def rate(rule_id: str, *networks: str) -> dict:
    return {"id": rule_id, "type": "rate_limit", "remote_addr": list(networks), "max_connections_per_minute": 5}


def issues(*rules: dict, **more: object) -> set[tuple[FindingKind, str]]:
    policy = Policy.from_document({"wolfsentry": {"version": "1", "rules": list(rules), **more}})
    return {(finding.kind, finding.rule_id) for finding in find_policy_issues(policy, wall_now=1_000_000_000.0)}


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ([black("a", "10.0.0.0/8"), white("b", "10.1.0.0/16")], set()),
        (
            [black("a", "10.0.0.0/8"), white("b", "10.0.0.0/8")],
            {(FindingKind.CONFLICT, "a"), (FindingKind.UNREACHABLE, "a")},
        ),
        (
            [black("a", "10.0.0.0/8"), black("b", "10.0.0.0/8")],
            {(FindingKind.DUPLICATE, "b"), (FindingKind.UNREACHABLE, "b")},
        ),
        ([black("a", "10.0.0.0/8"), black("b", "10.1.0.0/16")], {(FindingKind.REDUNDANT, "b")}),
        ([black("a", "10.0.0.0/8"), white("b", "10.0.0.0/9", "10.128.0.0/9")], {(FindingKind.UNREACHABLE, "a")}),
        ([black("a", "10.0.0.0/8", "11.0.0.0/8"), white("b", "10.0.0.0/9", "10.128.0.0/9")], set()),
        ([black("a", "10.0.0.0/8"), white("b", "10.0.0.0/9"), white("c", "10.128.0.0/10")], set()),
        ([black("a", "::/0"), black("b", "0.0.0.0/0")], set()),
        ([black("a", "2001:db8::/32"), black("b", "2001:db8::1")], {(FindingKind.REDUNDANT, "b")}),
        ([black("a", "10.0.0.0/8", expires_at="2001-01-01T00:00:00Z")], {(FindingKind.EXPIRED, "a")}),
        ([black("a", "10.0.0.0/8", expires_at="2030-01-01T00:00:00Z"), black("b", "10.1.0.0/16")], set()),
        ([white("a", "10.0.0.0/8"), rate("b", "10.1.0.0/16")], {(FindingKind.EXEMPT, "b")}),
        ([rate("a", "0.0.0.0/0")], {(FindingKind.ONE_FAMILY, "a")}),
        ([rate("a", "0.0.0.0/0"), rate("b", "::/0")], set()),
    ],
)
def test_issues_are_found_and_nothing_else(rules, found):
    assert issues(*rules) == found


@given(st.data())
def test_a_rule_called_unreachable_never_answers(data):
    nets = st.integers(0, 15).flatmap(
        lambda n: st.integers(28, 32).map(lambda m: str(ipaddress.ip_network(f"10.0.0.{n}/{m}", strict=False)))
    )
    rules = []
    for index in range(data.draw(st.integers(1, 8))):
        make = data.draw(st.sampled_from([white, black]))
        rules.append(make(f"r{index}", *data.draw(st.lists(nets, min_size=1, max_size=3, unique=True))))
    policy = Policy.from_document({"wolfsentry": {"version": "1", "rules": rules}})
    engine = Engine(policy, core="reference")
    answered = {engine.decide("connect", f"10.0.0.{last}").rule_id for last in range(16)}
    found = find_policy_issues(policy)
    unreachable = {finding.rule_id for finding in found if finding.kind is FindingKind.UNREACHABLE}
    assert unreachable == {rule["id"] for rule in rules} - answered


class TestRuleTests:
    def test_those_of_the_shipped_files_hold(self):
        policy = Policy.load(RULES)
        assert policy.rule_tests
        assert run_rule_tests(policy) == []

    def test_one_that_fails_says_what_came_instead(self):
        tests = [
            {"address": "10.0.0.1", "expect": "accept"},
            {"address": "10.0.0.1", "expect": "reject", "rule": "other"},
            {"address": "10.0.0.1", "expect": "reject", "rule": "no"},
        ]
        document = {"wolfsentry": {"version": "1", "rules": [black("no", "10.0.0.0/8")], "tests": tests}}
        wrong_action, wrong_rule = run_rule_tests(Policy.from_document(document))
        assert wrong_action.origin.pointer == "/wolfsentry/tests/0"
        assert wrong_action.text == "connect from 10.0.0.1: expected accept, got reject (rule by no)"
        assert wrong_rule.kind is FindingKind.FAILED_TEST
        assert "expected rule 'other'" in wrong_rule.text

    def test_each_starts_fresh(self):
        tests = [{"address": "10.0.0.1", "expect": "rate_limited", "repeat": 6}] * 3
        document = {"wolfsentry": {"version": "1", "rules": [rate("r", "0.0.0.0/0")], "tests": tests}}
        assert run_rule_tests(Policy.from_document(document)) == []
