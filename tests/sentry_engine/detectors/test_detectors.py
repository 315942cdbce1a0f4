# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors: what they are for, and that ordinary offices and travellers do not set them off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sentry_engine import DecisionLog, Engine, GeoipPaths, Policy, PolicyError, Reason, Verdict, find_policy_issues
from sentry_engine.detectors import Attempt, DetectorSet, Response, Thresholds
from sentry_engine.detectors.location import great_circle
from sentry_engine.detectors.recent_keys import MAX_KEYS, RecentSets
from sentry_engine.detectors.thresholds import CountryThreshold, TravelThreshold
from sentry_engine.geoip.lookup import UNKNOWN_LOCATION, Location
from sentry_engine.policy.lint import Kind

OFFICE = (b"\x00" * 10 + b"\xff\xff\xc0\x00\x02\x01", 128)
BERLIN, NEW_YORK, POTSDAM = (52.52, 13.40), (40.71, -74.00), (52.39, 13.06)


def source(number: int) -> tuple[bytes, int]:
    return b"\x00" * 10 + b"\xff\xff\x0a\x00" + number.to_bytes(2), 128


def attempt(
    user: str, now: float = 0.0, *, success: bool = False, location: Location = UNKNOWN_LOCATION, where: Any = OFFICE
) -> Attempt:
    return Attempt(user, where, now, success, location)


def at(position: tuple[float, float], country: str = "") -> Location:
    return Location(country=country, latitude=position[0], longitude=position[1])


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


class TestBounds:
    def test_a_flood_of_names_and_sources_is_forgotten_oldest_first(self):
        sets: RecentSets[int, int] = RecentSets(5, max_keys=10)
        for key in range(100):
            for item in range(50):
                sets.add(key, item, 0.0, 60.0)
        assert sets.add(99, 100, 0.0, 60.0) == 5
        assert sets.add(0, 0, 0.0, 60.0) == 1
        assert MAX_KEYS < 100_000


@pytest.fixture
def engine(core_name: str) -> Callable[..., Engine]:
    def make(detectors: dict[str, Any] | None = None, country: Path | str = "") -> Engine:
        body = {"version": "1", "builtin_limits": False, **({"detectors": detectors} if detectors else {})}
        policy = Policy.load(documents={"d": {"wolfsentry": body}}, geoip=GeoipPaths(country))
        return Engine(policy, core=core_name, clock=lambda: 0.0, decisions=DecisionLog())

    return make


CITY = Path(__file__).parents[2] / "data" / "geoip" / "GeoLite2-City-Test.mmdb"
COUNTRY = CITY.with_name("GeoLite2-Country-Test.mmdb")
ENGLAND, WASHINGTON = "2.125.160.216", "216.160.83.56"


class TestWithDatabases:
    def login(self, made: Engine, address: str, now: float) -> Reason:
        return made.decide("auth_success", address, user="ann", now=now).reason

    def test_a_city_database_in_the_countrys_place_shows_impossible_travel(self, engine):
        made = engine({"impossible_travel": {"action": "deny"}}, CITY)
        assert self.login(made, ENGLAND, 0.0) is Reason.DEFAULT
        assert self.login(made, WASHINGTON, 3_600.0) is Reason.IMPOSSIBLE_TRAVEL
        assert self.login(made, WASHINGTON, 86_400.0) is Reason.DEFAULT
        assert find_policy_issues(made.policy) == []

    def test_a_country_database_knows_the_country_and_no_distance(self, engine):
        made = engine({"impossible_travel": {"action": "deny"}, "new_country": {"action": "deny"}}, COUNTRY)
        assert self.login(made, ENGLAND, 0.0) is Reason.DEFAULT
        assert self.login(made, WASHINGTON, 3_600.0) is Reason.NEW_COUNTRY
        assert [(f.kind, f.rule_id) for f in find_policy_issues(made.policy)] == [
            (Kind.NO_DATABASE, "impossible_travel")
        ]

    def test_what_a_file_sets_in_vain_is_said_and_what_is_on_by_default_is_not(self, engine):
        stated = {"impossible_travel": {"action": "log"}, "new_country": {"action": "log"}}
        assert [f.rule_id for f in find_policy_issues(engine(stated).policy)] == ["new_country", "impossible_travel"]
        assert find_policy_issues(engine({"password_spray": False}).policy) == []


def provoke(made: Engine, detector: str) -> Verdict:
    """The verdict on the login that the detector speaks on."""
    if detector in ("new_country", "impossible_travel"):
        made.decide("auth_success", ENGLAND, user="ann", now=0.0)
        return made.decide("auth_success", WASHINGTON, user="ann", now=3_600.0)
    for n in range(3):
        address, user = ("192.0.2.1", f"user-{n}") if detector == "password_spray" else (f"192.0.2.{n + 1}", "ann")
        verdict = made.decide("auth_failure", address, user=user, now=float(n))
    return verdict


class TestActions:
    @pytest.mark.parametrize("detector", ["password_spray", "credential_stuffing", "new_country", "impossible_travel"])
    def test_each_detector_logs_penalises_or_denies_as_it_is_told(self, engine, detector):
        threshold = {"threshold": 3, "window_sec": 60} if detector.startswith(("password", "credential")) else {}
        others = dict.fromkeys(("password_spray", "credential_stuffing", "new_country", "impossible_travel"), False)
        outcome = {}
        for action in ("log", "penalise", "deny"):
            made = engine({**others, detector: {**threshold, "action": action}}, CITY)
            verdict = provoke(made, detector)
            notes = [decision.note for decision in made.decisions.drain() if decision.note]
            outcome[action] = (verdict.accepted, [p.reason.value for p in made.penalties(3_601.0)], len(notes))
        assert outcome == {"log": (True, [], 1), "penalise": (True, [detector], 1), "deny": (False, [], 1)}


class TestInTheEngine:
    def test_a_spray_puts_its_source_in_the_penalty_box(self, engine):
        made = engine()
        for n in range(15):
            made.decide("auth_failure", "192.0.2.1", user=f"user-{n}", now=float(n))
        verdict = made.decide("connect", "192.0.2.1", now=20.0)
        assert (verdict.reason, verdict.retry_after) == (Reason.PASSWORD_SPRAY, pytest.approx(3_594.0))
        assert made.decide("connect", "192.0.2.2", now=20.0).accepted
        notes = [decision.note for decision in made.decisions.drain() if decision.note]
        assert notes == ["15 users failed from 192.0.2.1/32 within 600 s"]

    def test_thresholds_come_from_the_rule_file(self, engine):
        spray = {"threshold": 2, "window_sec": 60, "action": "deny"}
        made = engine({"password_spray": spray, "credential_stuffing": False})
        assert made.decide("auth_failure", "192.0.2.1", user="a").accepted
        assert made.decide("auth_failure", "192.0.2.1", user="b").reason is Reason.PASSWORD_SPRAY
        assert made.policy.detectors.credential_stuffing is None
        assert made.policy.detectors.impossible_travel == TravelThreshold()

    def test_a_threshold_of_one_is_an_error(self, engine):
        with pytest.raises(PolicyError):
            engine({"password_spray": {"threshold": 1, "window_sec": 60, "action": "log"}})
