# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors of implausible locations: new country and impossible travel."""

from __future__ import annotations

import pytest

from sentry_engine.detectors import DetectorSet, Response, Thresholds
from sentry_engine.detectors.location import great_circle
from sentry_engine.detectors.thresholds import CountryThreshold
from sentry_engine.geoip.lookup import Location
from tests.sentry_engine.detectors.attempts import BERLIN, NEW_YORK, POTSDAM, at, attempt


class TestCountries:
    def test_the_first_teaches_the_second_is_told_once(self):
        detectors = DetectorSet()
        places = ("DE", "DE", "FR", "FR", "", "DE")
        found = [len(detectors.observe(attempt("ann", success=True, location=Location(country=c)))) for c in places]
        assert found == [0, 0, 1, 0, 0, 0]
        assert detectors.locations() == [("ann", {"DE", "FR"}, None)]

    def test_failures_teach_nothing(self):
        detectors = DetectorSet()
        detectors.observe(attempt("ann", location=Location(country="FR")))
        assert detectors.locations() == []

    def test_what_is_denied_stays_denied_until_it_is_learnt(self):
        detectors = DetectorSet()
        detectors.set_thresholds(Thresholds(new_country=CountryThreshold(Response.DENY)))
        detectors.learn_countries("ann", frozenset({"DE"}))
        french = attempt("ann", success=True, location=Location(country="FR"))
        assert [len(detectors.observe(french)) for _ in range(2)] == [1, 1]
        detectors.learn_countries("ann", frozenset({"FR"}))
        assert detectors.observe(french) == []


class TestTravel:
    def test_berlin_to_new_york_takes_a_day_or_is_told(self):
        assert great_circle(BERLIN, NEW_YORK) == pytest.approx(6_385, rel=0.01)
        for hours, found in ((1.0, 1), (5.0, 1), (8.0, 0)):
            detectors = DetectorSet()
            detectors.observe(attempt("ann", 0.0, success=True, location=at(BERLIN)))
            assert len(detectors.observe(attempt("ann", hours * 3_600, success=True, location=at(NEW_YORK)))) == found

    def test_the_error_of_the_database_is_no_travel(self):
        detectors = DetectorSet()
        for n in range(50):
            assert detectors.observe(attempt("ann", n, success=True, location=at((BERLIN, POTSDAM)[n % 2]))) == []

    def test_an_office_of_200_in_two_places_is_none(self):
        detectors = DetectorSet()
        for n in range(400):
            place = at(BERLIN if n % 200 < 100 else NEW_YORK)
            assert detectors.observe(attempt(f"user-{n % 200}", n, success=True, location=place)) == []
