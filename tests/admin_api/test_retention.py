# SPDX-License-Identifier: GPL-3.0-or-later
"""Old rows are removed, and the audit can still be verified."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from admin_api.clock import Clock
from admin_api.event_hub import EventHub
from admin_api.retention import RetentionTimes, remove_old_rows
from tests.admin_api.conftest import make_view
from vpn_frontend.ports import CloseReason, JournalEntry, Stage

DAY = 86_400.0
START = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def days():
    return [0.0]


@pytest.fixture
def timed(store, days):
    store.clock = Clock(wall=lambda: START + timedelta(days=days[0]), monotonic=lambda: days[0] * DAY)
    return store


async def note(store, number):
    async with store.write() as unit:
        await unit.audit.add("alice", "changed", str(number))


async def read_audit(store):
    async with store.read() as unit:
        rows = await unit.audit.page(past=None, limit=1000)
        return [row.target for row in rows], await unit.audit.first_broken()


@pytest.mark.asyncio
async def test_audit_rows_go_and_the_rest_is_verified(timed, days):
    for number in range(6):
        days[0] = float(number)
        await note(timed, number)
    assert await remove_old_rows(timed, RetentionTimes(audit=2.5 * DAY)) == 3
    assert await read_audit(timed) == (["until 3", "5", "4", "3"], None)
    assert await remove_old_rows(timed, RetentionTimes(audit=2.5 * DAY)) == 0
    days[0] = 20.0
    assert await remove_old_rows(timed, RetentionTimes(audit=2.5 * DAY)) == 4
    assert await read_audit(timed) == (["until 7"], None)


@pytest.mark.asyncio
async def test_rows_that_somebody_removed_are_told(timed, days):
    for number in range(6):
        days[0] = float(number)
        await note(timed, number)
    await remove_old_rows(timed, RetentionTimes(audit=2.5 * DAY))
    async with timed.write() as unit:
        await unit.audit._session.execute(text("DELETE FROM audit WHERE serial = 4"))
    assert (await read_audit(timed))[1] == 4


@pytest.mark.asyncio
async def test_ended_sessions_go_and_live_ones_stay(timed, days):
    for name in ("old", "live", "new"):
        await timed.record([JournalEntry(Stage.OPENED, make_view(name, started_at=START))])
    await timed.record([JournalEntry(Stage.CLOSED, make_view("old", started_at=START), CloseReason.LOGOUT)])
    days[0] = 10.0
    await timed.record([JournalEntry(Stage.CLOSED, make_view("new", started_at=START), CloseReason.LOGOUT)])
    assert await remove_old_rows(timed, RetentionTimes(sessions=5 * DAY)) == 2  # and the device that they had in common
    async with timed.read() as unit:
        assert {row.id for row in await unit.sessions.page(past=None, limit=10)} == {"live", "new"}


@pytest.mark.asyncio
async def test_without_times_everything_stays(timed, days):
    await note(timed, 1)
    days[0] = 10_000.0
    assert await remove_old_rows(timed, RetentionTimes()) == 0


def test_old_decisions_are_not_listed(days):
    hub = EventHub(Clock(wall=lambda: START + timedelta(days=days[0]), monotonic=lambda: 0.0))
    hub.keep_decisions = 7 * DAY
    hub.emit("decision", verdict="reject")
    days[0] = 5.0
    hub.emit("decision", verdict="accept")
    assert len(hub.decisions()) == 2
    days[0] = 8.0
    assert [event.fields["verdict"] for event in hub.decisions()] == ["accept"]
