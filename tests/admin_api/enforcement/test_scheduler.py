# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules take effect within one run of the scheduler."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from admin_api.clock import Clock
from admin_api.enforcement import scheduler
from admin_api.enforcement.service import Enforcement
from admin_api.event_hub import EventHub
from lab.timeouts import TIMEOUT
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

    def list(self):
        return []

    async def reassess(self, now=None):
        return [] if self.engine.explain(INSIDE).verdict.accepted else ["the one inside"]


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


async def test_a_run_without_memory_is_told_in_one_line_and_repeated(enforcement, monkeypatch, caplog):
    monkeypatch.setattr(scheduler, "PERIOD", 0)
    runs, again = [], asyncio.Event()

    async def work():
        runs.append(None)
        if len(runs) == 1:
            raise MemoryError
        again.set()

    task = asyncio.create_task(enforcement._scheduler._run(work))
    await asyncio.wait_for(again.wait(), TIMEOUT)
    task.cancel()
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("ERROR", None)]
