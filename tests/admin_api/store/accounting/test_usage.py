# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes per user and day: exact over repeated batches, restarts and midnight."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
import pytest_asyncio

from admin_api.clock import Clock
from admin_api.store import Store
from admin_api.store.identities.users import UserAttributes
from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import CloseReason, JournalEntry, Stage, Usage

pytestmark = pytest.mark.asyncio
NOON = datetime(2030, 1, 30, 12).astimezone(UTC)  # of the server's time zone


class Calendar:
    """A clock that stands unless the test sets it."""

    now = NOON


@pytest.fixture
def calendar():
    return Calendar()


@pytest.fixture
def clock(calendar):
    return Clock(wall=lambda: calendar.now)


@pytest_asyncio.fixture
async def store(store_url, clock):
    opened = await Store.open(store_url, clock=clock)
    yield opened
    await opened.close()


def entry(view, stage, moved):
    counters = Counters(rx_bytes=moved, tx_bytes=2 * moved)
    reason = CloseReason.KILLED if stage is Stage.CLOSED else None
    return JournalEntry(stage, replace(view, counters=counters, metered=True), reason)


async def test_only_what_sessions_with_a_quota_moved_counts_and_once(store, view):
    one, two, other = view("a"), view("b"), view("c", user="bob")
    batches = [
        [entry(one, Stage.OPENED, 0), JournalEntry(Stage.OPENED, other)],
        [entry(one, Stage.SEEN, 10), JournalEntry(Stage.SEEN, replace(other, counters=Counters(rx_bytes=99)))],
        [entry(one, Stage.CLOSED, 15), entry(two, Stage.OPENED, 0), entry(two, Stage.CLOSED, 1)],
    ]
    for batch in batches:
        for _ in range(2):  # written again after an error whose effect is unknown
            assert await store.record(batch) == []
    assert await store.used_so_far() == {"alice": Usage(48, 48)}


async def test_a_session_that_a_crash_left_open_is_counted_up_to_its_last_counters(store, store_url, clock, view):
    await store.record([entry(view(), Stage.OPENED, 0)])
    await store.record([entry(view(), Stage.SEEN, 10)])
    again = await Store.open(store_url, clock=clock)
    await again.close_orphans()
    assert await again.used_so_far() == {"alice": Usage(30, 30)}
    await again.close()


async def test_days_and_months_are_apart(store, calendar, view):
    await store.record([entry(view(), Stage.OPENED, 5)])
    calendar.now = NOON + timedelta(days=1)
    await store.record([entry(view(), Stage.SEEN, 6)])
    assert await store.used_so_far() == {"alice": Usage(3, 18)}
    calendar.now = NOON + timedelta(days=2)
    assert calendar.now.astimezone().date() == date(2030, 2, 1)
    assert await store.used_so_far() == {}
    await store.record([entry(view(), Stage.CLOSED, 7)])
    assert await store.used_so_far() == {"alice": Usage(3, 3)}


async def test_settings_of_users_and_groups_come_back_as_the_vpn_takes_them(store):
    async with store.write() as unit:
        settings = {"network": {"routes": ["10.0.0.0/8"], "restrict_to_ports": ["!tcp/25"]}, "banner": "Hello"}
        await unit.users.add("alice", "x", UserAttributes(settings=settings))
        await unit.groups.add(unit.groups.make("staff", label="Staff", note="", settings=settings))
    record = await store.find("alice")
    assert [str(route) for route in record.overrides["network"]["routes"]] == ["10.0.0.0/8"]
    assert (await store.group_overrides())["staff"] == {**record.overrides, "label": "Staff"}
