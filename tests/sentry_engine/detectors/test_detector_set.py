# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors in an engine: databases, responses and thresholds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sentry_engine import DecisionLog, Engine, GeoipPaths, Policy, PolicyError, Reason, find_policy_issues
from sentry_engine.detectors.thresholds import TravelThreshold
from sentry_engine.policy.lint import FindingKind
from tests.sentry_engine.detectors.attempts import CITY, COUNTRY, ENGLAND, WASHINGTON, provoke


@pytest.fixture
def engine(core_name: str) -> Callable[..., Engine]:
    def make(detectors: dict[str, Any] | None = None, country: Path | str = "") -> Engine:
        body = {"version": "1", "builtin_limits": False, **({"detectors": detectors} if detectors else {})}
        policy = Policy.load(documents={"d": {"wolfsentry": body}}, geoip=GeoipPaths(country))
        return Engine(policy, core=core_name, clock=lambda: 0.0, decisions=DecisionLog())

    return make


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
            (FindingKind.NO_DATABASE, "impossible_travel")
        ]

    def test_what_a_file_sets_in_vain_is_said_and_what_is_on_by_default_is_not(self, engine):
        stated = {"impossible_travel": {"action": "log"}, "new_country": {"action": "log"}}
        assert [f.rule_id for f in find_policy_issues(engine(stated).policy)] == ["new_country", "impossible_travel"]
        assert find_policy_issues(engine({"password_spray": False}).policy) == []


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
