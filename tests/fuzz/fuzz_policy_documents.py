# SPDX-License-Identifier: GPL-3.0-or-later
"""Any bytes as a rule file of any format make a policy that decides, or a list of problems."""

import sys
from pathlib import Path
from tempfile import mkdtemp

import atheris

with atheris.instrument_imports(include=["sentry_engine"]):
    from sentry_engine import Engine, Policy, PolicyError, find_policy_issues

FILE = Path(mkdtemp()) / "fuzzed.conf"


def fuzz_one(data: bytes) -> None:
    FILE.write_bytes(data)
    try:
        policy = Policy.load(FILE)
    except PolicyError as error:
        assert error.problems
        assert all(problem.reason for problem in error.problems)
        return
    find_policy_issues(policy)
    with Engine(policy, core="reference") as engine:
        verdict = engine.decide("connect", "192.0.2.1", now=0.0)
        assert verdict == engine.explain("192.0.2.1", now=0.0).verdict or verdict.accepted


atheris.Setup(sys.argv, fuzz_one)
atheris.Fuzz()
