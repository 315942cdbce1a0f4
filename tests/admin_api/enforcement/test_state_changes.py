# SPDX-License-Identifier: GPL-3.0-or-later
"""Saving what the engine knows writes only what changed, and restores as if all had been written."""

from __future__ import annotations

import math
import random

import pytest

from admin_api.enforcement import engine_state
from admin_api.enforcement.engine_state import EngineStateSaver
from admin_api.store.policy.source_snapshot import SourceSnapshot
from sentry_engine import Engine, Policy, Reason
from sentry_engine.cores.interface import ChangesUnknownError
from sentry_engine.cores.native.changes import SWEEP_CALLS
from sentry_engine.engine import state_changes
from tests.admin_api.enforcement.saved_engines import (
    STEP,
    act,
    assert_equal,
    brief,
    fail,
    known,
    log_in,
    policy,
    restored,
    stored,
)

pytestmark = pytest.mark.asyncio

ROUNDS = 40
KNOWN = 1_000
CROWD = 44_000  # of which some fill a set of the core's tables
SE_LOST_ROOM = 32_768  # networks of evicted and cleared rows that the core notes


async def test_a_save_writes_the_rows_that_changed(store, written, machine, control):
    engine = machine.boot()
    for number in range(KNOWN):
        fail(engine, number)
    saver = EngineStateSaver(store, engine, control)
    assert brief(await saver.save()) == ("first", KNOWN, 0)
    assert written.take() == ["INSERT sources"] * KNOWN
    assert brief(await saver.save()) == ("", 0, 0)
    assert written.take() == []
    machine.now += STEP
    assert brief(await saver.save()) == ("", 0, 0)
    assert written.take() == [], "time alone writes nothing"
    fail(engine, 7)
    assert brief(await saver.save()) == ("", 1, 0)
    assert written.take() == ["UPDATE sources"]
    for number in range(10):
        fail(engine, number)
    await saver.save()
    assert written.take() == ["UPDATE sources"] * 10
    fail(engine, KNOWN)
    await saver.save()
    assert written.take() == ["INSERT sources"]
    fail(engine, KNOWN, "auth_success")
    await saver.save()
    assert written.take() == ["DELETE sources"], "a failure that a login pays back is forgotten"
    log_in(machine, engine, "ann", "DE")
    engine.penalize("203.0.113.0/24", 60, reason=Reason.PENALTY)
    await saver.save()
    assert written.take() == ["INSERT penalties", "INSERT whereabouts"]
    engine.detectors.forget_user("ann")
    await saver.save()
    assert written.take() == ["DELETE whereabouts"]


async def test_what_ended_goes_within_the_calls_of_a_sweep_and_is_deleted_once(store, written, machine, control):
    engine = machine.boot()
    saver = EngineStateSaver(store, engine, control)
    for number in range(30):
        fail(engine, number)
    for _ in range(3):
        fail(engine, 1)
    engine.penalize("203.0.113.0/24", 30, reason=Reason.PENALTY)
    engine.penalize("198.51.100.0/24", math.inf, reason=Reason.PENALTY)
    await saver.save()
    assert sorted(written.take()) == ["INSERT penalties"] * 3 + ["INSERT sources"] * 30
    machine.now += 61.0
    for _ in range(SWEEP_CALLS):
        assert not (await saver.save()).whole
    found = written.take()
    assert found.count("DELETE penalties") == 2
    assert found.count("DELETE sources") == 29, "the strikes of one are remembered"
    machine.now += 61.0
    for _ in range(SWEEP_CALLS):
        await saver.save()
    assert written.take() == ["DELETE sources"]
    for _ in range(SWEEP_CALLS):
        assert brief(await saver.save()) == ("", 0, 0)
    assert written.take() == []


async def test_the_lightest_sources_go_when_their_table_is_full(either_store, machine, control, monkeypatch):
    monkeypatch.setattr(engine_state, "MAX_SOURCES", 5)
    monkeypatch.setattr(engine_state, "MAX_ADDED", 2)
    engine = machine.boot()
    saver = EngineStateSaver(either_store, engine, control)
    await saver.save()
    for number in range(7):
        fail(engine, number)
    for number in (1, 3, 5):
        fail(engine, number)
    for _ in range(3):
        fail(engine, 6)
    assert (await saver.save()).left_out == 0
    fail(engine, 7)
    assert (await saver.save()).left_out == 3
    async with either_store.read() as unit:
        kept = {row["network"]: row["strikes"] for row in await unit.sources.read_all()}
    assert len(kept) == 5
    assert kept["198.18.0.7/32"] == 1
    assert {f"198.18.0.{number + 1}/32" for number in (1, 3, 5, 6)} < kept.keys()


@pytest.mark.parametrize("reason", ["clock", "many", "labels", "failure"])
async def test_all_is_saved_where_changes_do_not_tell_all(store, machine, control, monkeypatch, reason):
    engine = machine.boot()
    saver = EngineStateSaver(store, engine, control)
    await saver.save()
    for number in range(4):
        fail(engine, number)
    match reason:
        case "clock":
            machine.offset += 3_600.0
        case "many":
            monkeypatch.setattr(state_changes, "MAX_CHANGES", 3)
        case "labels":
            monkeypatch.setattr(saver._engine._changes, "_labels", ("other",))
        case "failure":
            monkeypatch.setattr(Engine, "take_changes", lambda _: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await saver.save()
            monkeypatch.undo()
    assert brief(await saver.save()) == (reason, 4, 0)
    assert brief(await saver.save()) == ("", 0, 0)
    assert saver.saves.counts == {"first": 1, reason: 1, "changes": 1}
    assert saver.saves.durations["whole"].buckets()[-1] == ("+Inf", 2.0)


async def test_another_policy_saves_the_sources_that_count_otherwise_by_it(store, written, machine, control):
    engine = machine.boot()
    saver = EngineStateSaver(store, engine, control)
    for number in range(5):
        fail(engine, number)
    for number in range(10, 20):
        engine.decide("connect", f"198.18.0.{number + 1}")
    await saver.save()
    written.take()
    steps: list[tuple[Policy, list[str]]] = [
        (policy(extra="portal"), []),
        (policy(max_failures=2), []),
        (policy(window=90), ["UPDATE sources"] * 5),
        (policy(max_failures=50, window=90), ["UPDATE sources"] * 5),
        (policy(max_failures=50, window=90, per_minute=0), ["DELETE sources"] * 10),
        (policy(max_failures=50, window=90, per_minute=1), ["INSERT sources"] * 10),
    ]
    for put, rows in steps:
        engine.swap(put)
        assert not (await saver.save()).whole
        assert written.take() == rows
        assert_equal(await stored(store), known(engine))


async def test_what_is_forgiven_is_deleted(store, written, machine, control):
    engine = machine.boot()
    saver = EngineStateSaver(store, engine, control)
    await saver.save()
    for number in range(4):
        fail(engine, number)
    engine.penalize("198.18.0.1", 60, reason=Reason.PENALTY)
    await saver.save()
    written.take()
    engine.clear_penalties("198.18.0.0/16")
    assert brief(await saver.save()) == ("", 0, 0)
    assert sorted(written.take()) == ["DELETE penalties"] + ["DELETE sources"] * 4


async def test_more_lost_rows_than_are_noted_save_everything(machine):
    engine = machine.boot()
    for number in range(SE_LOST_ROOM + 1_000):
        engine.penalize(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 60, reason=Reason.PENALTY)
    with pytest.raises(ChangesUnknownError, match="first"):
        engine.take_changes()
    engine.clear_penalties("10.0.0.1")
    assert len(list(engine.take_changes())) == 1
    engine.clear_penalties("10.0.0.0/8")
    with pytest.raises(ChangesUnknownError, match="overflow"):
        engine.take_changes()
    assert list(engine.take_changes()) == []


@pytest.mark.parametrize("seed", range(3))
async def test_changes_restore_as_the_whole_state_does(either_store, machine, control, seed, monkeypatch):
    monkeypatch.setattr(state_changes, "CHANGES_AT_A_TIME", 3)
    dice, engine = random.Random(seed), machine.boot()
    saver = EngineStateSaver(either_store, engine, control)
    by_changes = 0
    for _ in range(ROUNDS):
        for _ in range(dice.randrange(12)):
            act(dice, machine, engine)
        if dice.random() < 0.2:
            engine.swap(policy(dice.choice([2, 3, 30]), dice.choice([0, 5, 20]), dice.choice([20, 60, 120])))
        if dice.random() < 0.1:
            engine.clear_penalties(f"198.18.0.{dice.randrange(12)}")
        by_changes += not (await saver.save()).whole
    engine.swap(policy())
    by_changes += not (await saver.save()).whole
    assert by_changes == ROUNDS
    after_changes = await restored(machine, either_store, control)
    assert (await EngineStateSaver(either_store, engine, control).save()).whole
    assert after_changes
    assert_equal(after_changes, await restored(machine, either_store, control))


async def test_updated_rows_are_no_more_rows(either_store, machine, control, monkeypatch):
    """The lightest sources are looked for when there are too many, not when many changed."""
    monkeypatch.setattr(engine_state, "MAX_SOURCES", 5)
    monkeypatch.setattr(engine_state, "MAX_ADDED", 2)
    monkeypatch.setattr(engine_state, "LISTED_AT_A_TIME", 2)
    engine, listed = machine.boot(policy(max_failures=100)), []
    list_beyond = SourceSnapshot.list_beyond

    async def listing(self: SourceSnapshot, kept: int, most: int) -> list[str]:
        listed.append(kept)
        return await list_beyond(self, kept, most)

    monkeypatch.setattr(SourceSnapshot, "list_beyond", listing)
    saver = EngineStateSaver(either_store, engine, control)
    for _ in range(6):
        for number in range(7):
            fail(engine, number)
        assert (await saver.save()).left_out == 0
    assert listed == []
    for number in range(7, 10):
        fail(engine, number)
    assert (await saver.save()).left_out == 5
    assert len(listed) == 3
    async with either_store.read() as unit:
        assert await unit.sources.count() == 5
    assert (await saver.save()).left_out == 0


async def test_parts_are_bounded_in_networks_and_in_events(machine):
    """A part is rendered in one step of Python, in which the event loop does not run."""
    engine = machine.boot(policy(max_failures=12))
    for number in range(1_500):
        engine.decide("connect", f"10.0.{number >> 8}.{number & 255}")
    for number in range(400):
        for _ in range(10):
            engine.decide("auth_failure", f"10.1.{number >> 8}.{number & 255}")
    parts = list(engine.take_state().changes)
    sizes = [len(part.sources) for part in parts]
    bursts = [sum(len(one.events) for one in part.sources.values() if one is not None) for part in parts]
    assert (sum(sizes), sum(bursts)) == (1_900, 5_500)
    assert max(sizes) <= 1_024
    assert max(bursts) <= 2_048 + 24
    assert {len(part.sources) for part in engine.take_state().changes} == set(sizes)


async def test_a_small_change_beside_evictions_is_a_small_save(store, written, machine, control):
    """Some sets of the core's table are full, so that new sources evict others, of which nothing stays saved."""
    engine = machine.boot(policy(max_failures=1_000, per_minute=1_000))
    crowd = [f"10.{number >> 8}.{number & 255}.1" for number in range(CROWD)]
    for event in ("connect", "auth_failure"):
        engine.decide_many(event, crowd)
    saver, dice, evicted = EngineStateSaver(store, engine, control), random.Random(1), engine.counters().evicted
    assert (await saver.save()).whole
    written.take()
    for _ in range(3):
        new = [f"11.{dice.randrange(256)}.{dice.randrange(256)}.{dice.randrange(256)}" for _ in range(600)]
        engine.decide_many("connect", new + dice.choices(crowd, k=400))
        assert not (await saver.save()).whole
    evicted = engine.counters().evicted - evicted
    assert 0 < evicted < 300
    assert len(written.take()) <= 3 * 1_000 + evicted
    assert_equal(await stored(store), known(engine))
