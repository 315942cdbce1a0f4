# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of changes is trimmed, and a node that was away for longer takes the whole state over."""

from __future__ import annotations

import asyncio

import pytest

from admin_api.fleet.changes import log_trim
from lab.timeouts import TIMEOUT

pytestmark = pytest.mark.asyncio
OLD = "UPDATE fleet.log SET at = at - interval '3 hours' WHERE revision <= :upto"
STATE = "SELECT h.floor, min(l.revision), max(l.revision) FROM fleet.head h, fleet.log l GROUP BY h.floor"


async def publish(running, count):
    async with running.store.write() as unit:
        for number in range(count):
            unit.changes.note("kill_user", f"user {number}", text="")


async def test_old_changes_go_and_the_newest_stay(run_node, ask, monkeypatch):
    monkeypatch.setattr(log_trim, "KEPT_CHANGES", 10)
    one = await run_node("n1")
    await publish(one, 30)
    assert await one.node.log_trim.trim() == 0, "none is old"
    ask(OLD, upto=15)
    assert await one.node.log_trim.trim() == 14, "the change at the floor stays, with its tag"
    assert ask(STATE) == [(15, 15, 30)]
    ask(OLD, upto=30)
    assert await one.node.log_trim.trim() == 5
    assert ask(STATE) == [(20, 20, 30)], "the newest ten stay however old they are"


async def test_a_look_is_bounded(run_node, ask, monkeypatch):
    monkeypatch.setattr(log_trim, "KEPT_CHANGES", 0)
    monkeypatch.setattr(log_trim, "AT_ONCE", 10)
    one = await run_node("n1")
    await publish(one, 25)
    ask(OLD, upto=25)
    assert [await one.node.log_trim.trim() for _ in range(4)] == [9, 10, 5, 0]


async def test_a_change_that_is_being_published_is_not_waited_for(run_node, ask):
    one = await run_node("n1")
    await publish(one, 1)
    async with one.store.write() as unit:
        unit.changes.note("kill_user", "x", text="")
        await unit.changes.publish()  # holds the head until the commit
        assert await one.node.log_trim.trim() == 0


async def test_nodes_trim_on_their_own_and_one_behind_takes_the_whole_state(run_node, ask, monkeypatch):
    monkeypatch.setattr(log_trim, "KEPT_CHANGES", 1)
    monkeypatch.setattr(log_trim, "INTERVAL", 0.05)
    one, other = await run_node("n1"), await run_node("n2")
    await other.node.changes.stop()
    await publish(one, 20)
    report = await one.enforcement.add_block("198.51.100.0/24", "", None, "me")
    assert await one.enforcement.blocks.settle(report.id, TIMEOUT)
    revision = one.store.published
    ask(OLD, upto=revision)
    async with asyncio.timeout(TIMEOUT):
        while ask(STATE)[0][:2] != (revision - 1, revision - 1):  # noqa: ASYNC110 - a state of the database
            await asyncio.sleep(0.02)
        assert not other.refuses("198.51.100.7")
        other.node.changes.follow()
        await other.node.changes.wait_for(revision)
    assert other.refuses("198.51.100.7")
    assert other.seen.of("fleet_store_restored") == []
