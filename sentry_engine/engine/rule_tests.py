# SPDX-License-Identifier: GPL-3.0-or-later
"""Runner of the tests in rule files: each on the native core, the whole policy, and a clean state.

A document may come from a caller who may only read. The tests of one policy make at most ``MAX_TEST_DECISIONS``
decisions together. The caller's deadline is looked at between strides of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sentry_engine.addresses import pack_address
from sentry_engine.cores.plan import Aggregation
from sentry_engine.engine.engine import Engine
from sentry_engine.policy.lint import Finding, FindingKind
from sentry_engine.policy.policy import Policy
from sentry_engine.rules.model import RuleTest
from sentry_engine.verdict import Verdict

MAX_TEST_DECISIONS = 1_000_000  # of all tests of one policy; about a second
STRIDE = 4_096  # decisions between two looks at the deadline
EVERYTHING = ("0.0.0.0/0", "::/0")


class OutOfTimeError(Exception):
    """The deadline passed during a test."""


def run_rule_tests(policy: Policy, *, is_late: Callable[[], bool] = lambda: False) -> list[Finding]:
    """A finding for each failed test of ``policy``, and one for the tests that were not run.

    No test runs once ``is_late`` is true, or beyond ``MAX_TEST_DECISIONS``.
    """
    with Engine(policy, clock=lambda: 0.0) as engine:
        return list(_RuleTests(engine, policy, is_late).run(policy.rule_tests))


class _RuleTests:
    def __init__(self, engine: Engine, policy: Policy, is_late: Callable[[], bool]) -> None:
        self._engine = engine
        self._aggregation = policy.aggregation or Aggregation()
        self._is_late = is_late
        self._used: set[tuple[bytes, int]] = set()  # sources with events since the state was cleared

    def run(self, tests: tuple[RuleTest, ...]) -> Iterable[Finding]:
        left = MAX_TEST_DECISIONS
        for number, test in enumerate(tests):
            left -= test.repeat
            if left < 0:
                limit = f"the tests of a policy make at most {MAX_TEST_DECISIONS} decisions"
                yield _not_run(tests[number:], limit)
                return
            try:
                finding = self._run_one(test)
            except OutOfTimeError:
                yield _not_run(tests[number:], "the time for tests is over")
                return
            if finding is not None:
                yield finding

    def _run_one(self, test: RuleTest) -> Finding | None:
        verdict = self._decide_last(test)
        said = f"{verdict.action} ({verdict.reason}{f' by {verdict.rule_id}' if verdict.rule_id else ''})"
        if verdict.action is not test.expect:
            text = f"{test.event} from {test.address}: expected {test.expect}, got {said}"
        elif test.rule_id is not None and verdict.rule_id != test.rule_id:
            text = f"{test.event} from {test.address}: expected rule {test.rule_id!r}, got {said}"
        else:
            return None
        return Finding(FindingKind.FAILED_TEST, test.rule_id or "", test.origin, text)

    def _decide_last(self, test: RuleTest) -> Verdict:
        """The verdict on the last event of a test. Raises ``OutOfTimeError``."""
        packed = pack_address(test.address)
        self._begin(self._aggregation.source_of(packed))
        before = test.repeat - 1
        while before > 0:
            if self._is_late():
                raise OutOfTimeError
            stride = min(before, STRIDE)
            self._engine.decide_packed(test.event, packed * stride, now=0.0)
            before -= stride
        if self._is_late():
            raise OutOfTimeError
        verdict = self._engine.decide(test.event, test.address, now=0.0)
        if verdict.retry_after is not None:
            self._clear()  # a penalty may reach beyond its source
        return verdict

    def _begin(self, source: tuple[bytes, int]) -> None:
        """Make the state clean for a test of ``source``. Clearing reads all tables, so it is done when needed."""
        if source in self._used:
            self._clear()
        self._used.add(source)

    def _clear(self) -> None:
        for network in EVERYTHING:
            self._engine.clear_penalties(network, now=0.0)
        self._used.clear()


def _not_run(tests: tuple[RuleTest, ...], why: str) -> Finding:
    text = f"{len(tests)} tests were not run from this one on: {why}"
    return Finding(FindingKind.FAILED_TEST, tests[0].rule_id or "", tests[0].origin, text)
