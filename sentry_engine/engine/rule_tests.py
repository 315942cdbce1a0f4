# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the tests that rule files carry, on the twin and on the whole policy, each as if it were the first to ask."""

from __future__ import annotations

from sentry_engine.engine.engine import Engine
from sentry_engine.policy.lint import Finding, Kind
from sentry_engine.policy.policy import Policy
from sentry_engine.rules.model import Example


def run_examples(policy: Policy) -> list[Finding]:
    """The examples of ``policy`` that come out otherwise than expected."""
    with Engine(policy, core="twin", clock=lambda: 0.0) as engine:
        return [finding for example in policy.examples if (finding := run_example(engine, example))]


def run_example(engine: Engine, example: Example) -> Finding | None:
    verdict = [engine.decide(example.event, example.address, now=0.0) for _ in range(example.repeat)][-1]
    for everything in ("0.0.0.0/0", "::/0"):
        engine.forgive(everything, now=0.0)
    said = f"{verdict.action} ({verdict.reason}{f' by {verdict.rule_id}' if verdict.rule_id else ''})"
    if verdict.action is not example.expect:
        text = f"{example.event} from {example.address}: expected {example.expect}, got {said}"
    elif example.rule_id is not None and verdict.rule_id != example.rule_id:
        text = f"{example.event} from {example.address}: expected rule {example.rule_id!r}, got {said}"
    else:
        return None
    return Finding(Kind.FAILED_TEST, example.rule_id or "", example.origin, text)
