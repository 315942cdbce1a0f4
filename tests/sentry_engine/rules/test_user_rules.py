# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about users, and schedules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentry_engine import AdmissionRefused, ClientLimits, Engine, GeoipPaths, Policy, PolicyError, Reason
from sentry_engine.rules.schedules import Window, is_open, next_change

COUNTRY = Path(__file__).parents[2] / "data" / "geoip" / "GeoLite2-Country-Test.mmdb"
BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = Window(frozenset(range(5)), 8 * 60, 18 * 60, "Europe/Berlin")
NIGHT = Window(frozenset({4}), 22 * 60, 6 * 60, "Europe/Berlin")
SWEDISH, BRITISH = "89.160.20.113", "2.125.160.217"


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


class TestSchedules:
    @pytest.mark.parametrize(
        ("window", "moment", "inside"),
        [
            (OFFICE, "2026-11-20T07:59:59", False),
            (OFFICE, "2026-11-20T08:00:00", True),
            (OFFICE, "2026-11-20T17:59:59", True),
            (OFFICE, "2026-11-20T18:00:00", False),
            (OFFICE, "2026-11-21T12:00:00", False),
            (OFFICE, "2026-07-20T08:00:00", True),
            (NIGHT, "2026-11-20T22:00:00", True),
            (NIGHT, "2026-11-21T05:59:59", True),
            (NIGHT, "2026-11-21T06:00:00", False),
            (NIGHT, "2026-11-20T05:00:00", False),
        ],
    )
    def test_the_hours_of_the_zone_count(self, window, moment, inside):
        assert is_open([window], at(moment)) is inside

    def test_no_window_is_no_restriction(self):
        assert is_open([], 0.0)
        assert next_change([], 0.0) is None

    def test_the_days_the_clock_changes_keep_local_hours(self):
        window = Window(frozenset(range(7)), 8 * 60, 18 * 60, "Europe/Berlin")
        for day in ("2026-03-29", "2026-10-25"):
            assert not is_open([window], at(f"{day}T07:59:59"))
            assert is_open([window], at(f"{day}T08:00:00"))
            assert not is_open([window], at(f"{day}T18:00:00"))

    @given(st.floats(0, 4e9), st.integers(0, 1439), st.integers(1, 1440), st.sets(st.integers(0, 6), min_size=1))
    def test_nothing_changes_before_the_next_change(self, now, start, end, days):
        window = Window(frozenset(days), start, end, "America/New_York")
        change = next_change([window], now)
        if change is not None:
            assert change > now
            assert is_open([window], now) == is_open([window], (now + change) / 2) or change - now < 1e-3


@pytest.fixture
def make(core_name: str) -> Callable[..., Engine]:
    def make(*users: dict, moment: str = "2026-11-20T12:00:00", **options: Any) -> Engine:
        rows = [{"id": f"u{index}", **user} for index, user in enumerate(users)]
        policy = Policy.load(
            documents={"d": {"wolfsentry": {"version": "1", "users": rows}}}, geoip=GeoipPaths(COUNTRY)
        )
        return Engine(policy, core=core_name, clock=lambda: 0.0, wall_clock=lambda: at(moment), **options)

    return make


class TestUserRules:
    def test_they_apply_to_those_they_name(self, make):
        engine = make(
            {"user": ["ann"], "country": ["SE"]}, {"group": ["staff"], "remote_addr": ["10.0.0.0/8", "2.0.0.0/8"]}
        )
        said = [
            engine.decide("connect", address, user=user, groups=groups).reason
            for user, groups, address in [
                ("ann", (), SWEDISH),
                ("ann", (), BRITISH),
                ("ann", (), "127.0.0.1"),
                ("bob", (), BRITISH),
                ("bob", ("staff",), SWEDISH),
                ("bob", ("staff",), BRITISH),
            ]
        ]
        good, country, network = Reason.WITHIN_LIMIT, Reason.USER_COUNTRY, Reason.USER_NETWORK
        assert said == [good, country, country, good, network, good]

    def test_hours_and_ends_are_told(self, make):
        hours = {"schedule": [{"days": ["mon"], "from": "08:00", "to": "18:00", "zone": "Europe/Berlin"}]}
        verdict = make(hours).decide("connect", "192.0.2.1", user="ann")
        assert (verdict.reason, verdict.retry_after) == (Reason.SCHEDULE, (2 * 24 + 20) * 3600)
        ended = {"user": ["ann"], "expires_at": "2026-11-20T12:00:00+01:00"}
        engine = make(ended)
        assert engine.decide("connect", "192.0.2.1", user="ann").reason is Reason.USER_EXPIRED
        assert engine.decide("connect", "192.0.2.1", user="ann", now=-1.0).accepted
        with pytest.raises(AdmissionRefused, match="expired"):
            engine.admit("ann", "192.0.2.1")

    def test_explain_shows_them(self, make):
        engine = make({"user": ["ann"], "country": ["SE"]})
        explanation = engine.explain(BRITISH, user="ann")
        assert explanation.verdict.reason is Reason.USER_COUNTRY
        assert [(s.tier, s.rule_id) for s in explanation.steps if s.decisive] == [("user", "u0")]
        assert engine.explain(BRITISH, user="bob").verdict.accepted

    def test_how_many_clients_by_user_then_group_then_all(self, make):
        engine = make(
            {"max_same_clients": 1},
            {"group": ["staff"], "max_same_clients": 2},
            {"user": ["ann"], "max_same_clients": 3},
            limits=ClientLimits(max_same_clients=9),
        )
        for user, groups, own, allowed in [
            ("ann", ("staff",), None, 3),
            ("bob", ("staff",), None, 2),
            ("eve", (), None, 1),
            ("dan", (), 4, 4),
        ]:
            for _ in range(allowed):
                engine.admit(user, "192.0.2.1", groups=groups, limit=own)
            with pytest.raises(AdmissionRefused):
                engine.admit(user, "192.0.2.1", groups=groups, limit=own)

    def test_an_unknown_zone_or_no_time_is_a_problem(self):
        for window, words in (({"zone": "Mars/Base"}, "time zone"), ({"from": "08:00", "to": "08:00"}, "no time")):
            user = {"id": "u", "schedule": [{"days": ["mon"], **window}]}
            with pytest.raises(PolicyError, match=words):
                Policy.from_document({"wolfsentry": {"version": "1", "users": [user]}})


class TestScheduledRules:
    def test_a_rule_holds_in_its_hours_after_a_refresh(self, core_name):
        wall = [at("2026-11-20T12:00:00")]
        hours = [{"days": ["fri"], "from": "08:00", "to": "18:00", "zone": "Europe/Berlin"}]
        rule = {"id": "r", "type": "blacklist", "remote_addr": "10.0.0.0/8", "schedule": hours}
        policy = Policy.from_document({"wolfsentry": {"version": "1", "rules": [rule]}})
        engine = Engine(policy, core=core_name, clock=lambda: wall[0], wall_clock=lambda: wall[0])
        assert not engine.decide("connect", "10.0.0.1").accepted
        assert not engine.refresh()
        wall[0] = at("2026-11-20T18:00:00")
        assert engine.refresh()
        assert engine.decide("connect", "10.0.0.1").accepted
        wall[0] = at("2026-11-27T08:00:00")
        assert engine.refresh()
        assert not engine.decide("connect", "10.0.0.1").accepted


def test_the_text_of_a_rule_or_block_is_there_for_people(make_engine):
    engine = make_engine([{"id": "r", "type": "blacklist", "remote_addr": "10.0.0.0/8", "description": "Nobody"}])
    engine.block("11.0.0.1", rule_id="block:1", text="Brute force")
    assert [engine.rule_text(i) for i in ("r", "block:1", "none")] == ["Nobody", "Brute force", ""]
