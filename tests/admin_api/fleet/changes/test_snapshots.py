# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns to read the whole state of a fleet: a bounded number of nodes has one, whatever becomes of them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from admin_api.fleet.calls import Calls
from admin_api.fleet.changes import snapshots
from admin_api.fleet.changes.snapshots import ALL_TAKEN, TAKE, SnapshotTurns
from lab.timeouts import TIMEOUT
from tests.admin_api.fleet.crowd import nodes_of

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("patient_calls")]
TAKEN = "SELECT count(*) FROM fleet.snapshot_turns WHERE node IS NOT NULL"
ADD_NODES = (
    "INSERT INTO fleet.nodes (id, name, instance, version) OVERRIDING SYSTEM VALUE"
    " SELECT i, 'x' || i, 'x', '1' FROM generate_series(1, :count) i"
)
ADD_BEATS = "INSERT INTO fleet.beats (node) SELECT i FROM generate_series(1, :count) i"
AWAKE = "UPDATE fleet.uptime SET last = clock_timestamp() + interval '1 s', since = '2020-01-01'"
DEAD_AFTER, LASTS = 3600.0, 7200.0  # seconds; longer than a test takes
GIVE_BACK = "SELECT fleet.give_back_snapshot_v1(:node, 1)"
FEW = "DELETE FROM fleet.snapshot_turns WHERE turn > :few"


@pytest.fixture
def take(fleet_url):
    """Asks for the turns of some nodes, all at the same moment. Returns what they are told, in their order."""

    async def take(nodes, *, epoch=1):
        calls = Calls(fleet_url, 16)
        try:
            rows = await asyncio.gather(*(calls.call(TAKE, (node, epoch, DEAD_AFTER, LASTS)) for node in nodes))
        finally:
            await calls.close()
        return [row[0] for ((row),) in rows]

    return take


@pytest.fixture
def many(ask):
    """70 nodes that have just beaten."""
    ask(ADD_NODES, count=70)
    ask(ADD_BEATS, count=70)
    return range(1, 71)


async def test_fifty_of_many_that_ask_at_once_have_one_and_each_has_one(take, many, ask):
    told = await take(many)
    turns = [turn for turn in told if turn]
    assert sorted(turns) == [*range(1, 51)]
    assert ask(TAKEN) == [(50,)]
    again = await take(many)
    assert again == told, "who has one is told the same again, and no other gets one"


async def test_one_that_is_given_back_goes_to_one_that_waits(take, many, ask):
    told = await take(many)
    holder, waiting = (1 + told.index(turn) for turn in (7, 0))
    assert ask(GIVE_BACK, node=holder) == [(True,)]
    assert ask(GIVE_BACK, node=holder) == [(False,)]
    assert await take([waiting]) == [7]
    assert await take([holder]) == [0]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE fleet.nodes SET epoch = 2 WHERE id = :node",
        "UPDATE fleet.nodes SET state = 'left' WHERE id = :node",
        "UPDATE fleet.beats SET seen_at = clock_timestamp() - interval '3601 s' WHERE node = :node",
        "UPDATE fleet.snapshot_turns SET taken_at = taken_at - interval '7201 s' WHERE node = :node",
        "UPDATE fleet.snapshot_turns SET taken_at = taken_at + interval '9 h' WHERE node = :node",
    ],
    ids=["joined again", "left", "silent", "too long", "the clock went back"],
)
async def test_that_of_a_node_which_cannot_give_it_back_is_free(take, many, ask, change):
    told = await take(many)
    holder, waiting = (1 + told.index(turn) for turn in (7, 0))
    ask(change, node=holder)
    ask(AWAKE)
    assert await take([waiting]) == [7]


async def test_a_node_that_is_fenced_gets_none(take, many):
    assert await take([1], epoch=2) == [0]


async def test_a_node_that_waits_says_why_and_reads_once_it_may(make_node, fleet_url, ask, monkeypatch):
    monkeypatch.setattr(snapshots, "ASK_AGAIN", 0.0)
    ask(FEW, few=1)
    async with nodes_of(make_node, fleet_url, 2) as (one, other), AsyncExitStack() as stack:
        first, second = (SnapshotTurns(node.calls, node.membership, node.membership.seen) for node in (one, other))
        await stack.enter_async_context(first.turn())
        reading = asyncio.create_task(stack.enter_async_context(second.turn()))
        told = await other.membership.seen.wait_for("fleet_comparison_waits")
        assert told == {"node": "n1", "reason": ALL_TAKEN}
        assert not reading.done()
        await first._give_back()
        async with asyncio.timeout(TIMEOUT):
            await reading
        assert second.waits_for == ""
        assert len(other.membership.seen.of("fleet_comparison_waits")) == 1, "it is told once"
    assert ask(TAKEN) == [(0,)]


async def test_all_nodes_of_a_restored_database_read_it_one_by_one(run_node, ask, monkeypatch):
    """One turn for three nodes: what is in force stays so, and each of them has compared in the end."""
    monkeypatch.setattr(snapshots, "ASK_AGAIN", 0.01)
    ask(FEW, few=1)
    nodes = [await run_node(f"n{number}") for number in range(3)]

    async def others_wait():
        waiting = [asyncio.create_task(one.seen.wait_for("fleet_comparison_waits")) for one in nodes]
        await first_of(waiting, len(nodes) - 1)

    reading = Reading(others_wait)
    for running in nodes:
        parts = set(running.node.changes._parts.values())
        for part in parts:
            monkeypatch.setattr(part, "compare", reading.of(part.compare))
    report = await nodes[0].enforcement.add_block("198.51.100.0/24", "", 3600, "me")
    assert await nodes[0].enforcement.blocks.settle(report.id, TIMEOUT)
    async with asyncio.timeout(TIMEOUT):
        for running in nodes:
            await running.node.changes.wait_for(nodes[0].store.published)
    ask("DELETE FROM fleet.log")
    ask("UPDATE fleet.head SET revision = 0, tag = gen_random_uuid()")
    for running in nodes:
        await running.seen.wait_for("fleet_store_restored")
        assert running.refuses("198.51.100.7")
    assert reading.most == 1


async def first_of(tasks, count):
    """Wait until ``count`` of them are done, and cancel the rest."""
    while sum(task.done() for task in tasks) < count:
        await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


class Reading:
    """How many nodes compare at the moment, and how many did at most."""

    def __init__(self, others_wait):
        """The first one to compare does not end before ``others_wait`` has, or another one compares beside it."""
        self._now = self.most = 0
        self._others_wait = others_wait
        self._beside = asyncio.Event()
        self._held = False

    def of(self, compare):
        """``compare``, counted."""

        async def counted(*, restored):
            self._now += 1
            self.most = max(self.most, self._now)
            if self._now > 1:
                self._beside.set()
            try:
                if not self._held:
                    self._held = True
                    either = [asyncio.create_task(one) for one in (self._others_wait(), self._beside.wait())]
                    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                    for task in either:
                        task.cancel()
                await compare(restored=restored)
            finally:
                self._now -= 1

        return counted
