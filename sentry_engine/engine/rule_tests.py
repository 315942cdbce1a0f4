# SPDX-License-Identifier: GPL-3.0-or-later
"""Runner of the tests in rule files: each on the reference core, the whole policy, and a clean state."""

from __future__ import annotations

from sentry_engine.engine.engine import Engine
from sentry_engine.policy.lint import Finding, Kind
from sentry_engine.policy.policy import Policy
from sentry_engine.rules.model import RuleTest


def run_rule_tests(policy: Policy) -> list[Finding]:
    """A finding for each failed test of ``policy``."""
    with Engine(policy, core="reference", clock=lambda: 0.0) as engine:
        return [finding for test in policy.rule_tests if (finding := run_rule_test(engine, test))]


def run_rule_test(engine: Engine, test: RuleTest) -> Finding | None:
    verdict = [engine.decide(test.event, test.address, now=0.0) for _ in range(test.repeat)][-1]
    for everything in ("0.0.0.0/0", "::/0"):
        engine.clear_penalties(everything, now=0.0)
    said = f"{verdict.action} ({verdict.reason}{f' by {verdict.rule_id}' if verdict.rule_id else ''})"
    if verdict.action is not test.expect:
        text = f"{test.event} from {test.address}: expected {test.expect}, got {said}"
    elif test.rule_id is not None and verdict.rule_id != test.rule_id:
        text = f"{test.event} from {test.address}: expected rule {test.rule_id!r}, got {said}"
    else:
        return None
    return Finding(Kind.FAILED_TEST, test.rule_id or "", test.origin, text)
