# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules and expiries take effect within one run of the scheduler."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from admin_api.clock import Clock
from admin_api.enforcement.service import Enforcement
from admin_api.event_hub import EventHub
from admin_api.store import UserAttributes
from sentry_engine import Engine, Policy

pytestmark = pytest.mark.asyncio

NIGHT = {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "20:00", "to": "23:00", "zone": "UTC"}
RULES = {
    "wolfsentry": {
        "version": "1.6.3",
        "rules": [{"id": "night", "type": "blacklist", "remote_addr": "198.51.100.0/24", "schedule": [NIGHT]}],
    }
}
INSIDE = "198.51.100.7"


class Sessions:
    def __init__(self, engine):
        self.engine = engine
        self.cut = []

    def list(self):
        return []

    async def reassess(self, now=None):
        return [] if self.engine.explain(INSIDE).verdict.accepted else ["the one inside"]

    def kill_user(self, user, text):
        self.cut.append((user, text))
        return 1


@pytest.fixture
def wall():
    return [datetime(2030, 1, 2, 19, 59, tzinfo=UTC)]


@pytest.fixture
def clock(wall):
    return Clock(wall=lambda: wall[0], monotonic=lambda: wall[0].timestamp() - 1_000_000)


@pytest.fixture
def engine(clock):
    with Engine(
        Policy.from_document(RULES),
        core="reference",
        clock=clock.monotonic,
        wall_clock=lambda: clock.wall().timestamp(),
    ) as made:
        yield made


@pytest.fixture
def enforcement(engine, store, clock):
    return Enforcement(engine, Sessions(engine), store, (), events=EventHub(), clock=clock)


async def test_schedule_takes_effect_and_ends(enforcement, engine, wall):
    apply_due = enforcement._scheduler.apply_due
    assert await apply_due() == 0
    assert engine.explain(INSIDE).verdict.accepted
    wall[0] += timedelta(minutes=1)
    assert await apply_due() == 1
    assert engine.explain(INSIDE).verdict.rule_id == "night"
    assert await apply_due() == 0
    wall[0] += timedelta(hours=3)
    assert await apply_due() == 0
    assert engine.explain(INSIDE).verdict.accepted


async def test_expired_users_are_disconnected_once(enforcement, store, wall):
    now = wall[0]
    async with store.write() as unit:
        await unit.users.add("before", "x", UserAttributes(expires_at=now - timedelta(seconds=1)))
        await unit.users.add("soon", "x", UserAttributes(expires_at=now + timedelta(seconds=30)))
        await unit.users.add("late", "x", UserAttributes(expires_at=now + timedelta(hours=1)))
        await unit.users.add("never", "x", UserAttributes())
    sessions = enforcement._sessions
    assert await enforcement._scheduler.apply_due() == 0
    wall[0] = now + timedelta(seconds=30)
    assert await enforcement._scheduler.apply_due() == 1
    assert await enforcement._scheduler.apply_due() == 0
    assert [user for user, _ in sessions.cut] == ["soon"]
