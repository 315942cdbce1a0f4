# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors of password guessing: spray and stuffing."""

from __future__ import annotations

from sentry_engine import Reason
from sentry_engine.detectors import DetectorSet, Response
from tests.sentry_engine.detectors.attempts import attempt, source


class TestSpray:
    def test_many_users_failing_from_one_source_is_a_spray(self):
        detectors = DetectorSet()
        found = [detectors.observe(attempt(f"user-{n}", n)) for n in range(15)]
        assert [len(f) for f in found] == [0] * 14 + [1]
        assert (found[-1][0].reason, found[-1][0].response) == (Reason.PASSWORD_SPRAY, Response.PENALISE)
        assert "15 users" in found[-1][0].text

    def test_an_office_of_200_that_mistypes_and_gets_in_is_none(self):
        detectors = DetectorSet()
        for n in range(200):
            if n % 2:
                assert detectors.observe(attempt(f"user-{n}", n)) == []
            assert detectors.observe(attempt(f"user-{n}", n + 0.5, success=True)) == []

    def test_one_of_them_mistyping_all_day_is_none(self):
        detectors = DetectorSet()
        assert not any(detectors.observe(attempt("forgetful", n)) for n in range(500))

    def test_failures_far_apart_are_none(self):
        detectors = DetectorSet()
        assert not any(detectors.observe(attempt(f"user-{n}", n * 60.0)) for n in range(100))


class TestStuffing:
    def test_one_user_failing_from_many_sources_is_told(self):
        detectors = DetectorSet()
        found = [detectors.observe(attempt("ann", n, where=source(n))) for n in range(8)]
        assert [len(f) for f in found] == [0] * 7 + [1]
        assert (found[-1][0].reason, found[-1][0].response) == (Reason.CREDENTIAL_STUFFING, Response.LOG)

    def test_an_office_and_a_traveller_are_none(self):
        detectors = DetectorSet()
        assert not any(detectors.observe(attempt(f"user-{n // 2}", n, success=bool(n % 2))) for n in range(400))
        for n in range(30):
            assert detectors.observe(attempt("ann", n * 600.0, where=source(n))) == []
            assert detectors.observe(attempt("ann", n * 600.0 + 5, where=source(n), success=True)) == []
