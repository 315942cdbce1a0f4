# SPDX-License-Identifier: GPL-3.0-or-later
"""A save that a crash, an error, a stop or another save interrupts leaves what is restored, and is continued."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Event
from typing import Any

import pytest

from admin_api.enforcement.engine_state import EngineStateSaver, restore_engine_state
from admin_api.store import Store, UnitOfWork
from lab.timeouts import TIMEOUT
from sentry_engine.engine import state_changes
from tests.admin_api.enforcement.saved_engines import STEP, act, assert_equal, brief, fail, is_equal, known, stored

pytestmark = pytest.mark.asyncio


class CrashingStore:
    """A store whose process ends before one of its transactions is committed."""

    def __init__(self, store: Store, after: int) -> None:
        self._store, self._left = store, after

        self.read = store.read

    @asynccontextmanager
    async def write(self) -> AsyncIterator[UnitOfWork]:
        async with self._store.write() as unit:
            yield unit
            self._left -= 1
            if self._left < 0:
                raise ConnectionError("the process ended")


@pytest.mark.parametrize("seed", range(3))
async def test_a_crash_leaves_each_source_as_this_save_or_the_one_before_has_it(
    either_store, machine, control, seed, monkeypatch
):
    """Each engine ends within a save. The next one starts from what is in the store, and saves into it."""
    monkeypatch.setattr(state_changes, "CHANGES_AT_A_TIME", 2)
    dice, engine, cut = random.Random(seed), machine.boot(), 0
    for _ in range(12):
        saver = EngineStateSaver(either_store, engine, control)
        for _ in range(2):
            for _ in range(dice.randrange(2, 14)):
                act(dice, machine, engine)
            await saver.save()
        before = await stored(either_store)
        for _ in range(dice.randrange(6, 14)):
            act(dice, machine, engine)
        saver._store = CrashingStore(either_store, dice.randrange(3))
        saver._failed = dice.random() < 0.4  # all is saved
        try:
            await saver.save()
        except ConnectionError:
            cut += 1
        now, after = known(engine), await stored(either_store)
        for name in now.keys() | before.keys() | after.keys():
            values = after.get(name, [])
            assert is_equal(values, now.get(name, [])) or is_equal(values, before.get(name, [])), name
        engine = machine.boot()
        await restore_engine_state(either_store, engine, control)
    assert cut > 3


@pytest.mark.parametrize("is_whole", [False, True])
async def test_a_save_that_fails_half_is_continued(store, written, machine, control, monkeypatch, is_whole):
    monkeypatch.setattr(state_changes, "CHANGES_AT_A_TIME", 3)
    engine = machine.boot()
    saver = EngineStateSaver(store, engine, control)
    if not is_whole:
        await saver.save()
    for number in range(9):
        fail(engine, number)
    monkeypatch.setattr(saver, "_store", CrashingStore(store, 2))
    with pytest.raises(ConnectionError):
        await saver.save()
    assert written.take() == ["INSERT sources"] * 6
    monkeypatch.setattr(saver, "_store", store)
    fail(engine, 20)
    machine.now += STEP
    assert brief(await saver.save()) == ("", 1, 0)
    assert written.take() == ["INSERT sources"] * 4, "what was written is not written again"
    assert saver.saves.counts == {"first": 1, "changes": 1 if is_whole else 2}
    assert_equal(await stored(store), known(engine))


async def test_a_save_that_is_cancelled_while_a_thread_reads_is_continued(store, machine, control, monkeypatch):
    """A stop cancels the save that runs, and saves once more."""
    engine, has_begun, may_go_on = machine.boot(), asyncio.Event(), Event()
    saver, take, loop = EngineStateSaver(store, engine, control), engine.take_changes, asyncio.get_running_loop()
    await saver.save()
    fail(engine, 1)

    def take_slowly() -> Any:
        changes = take()
        loop.call_soon_threadsafe(has_begun.set)
        assert may_go_on.wait(TIMEOUT)
        return changes

    monkeypatch.setattr(engine, "take_changes", take_slowly)
    cancelled = asyncio.create_task(saver.save())
    await has_begun.wait()
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    last = asyncio.create_task(saver.save())
    fail(engine, 2)
    may_go_on.set()
    assert not (await last).whole
    assert_equal(await stored(store), known(engine))


async def test_two_saves_at_once_are_one_after_the_other(store, written, machine, control):
    engine = machine.boot()
    saver = EngineStateSaver(store, engine, control)
    for number in range(20):
        fail(engine, number)
    both = await asyncio.gather(saver.save(), saver.save())
    assert [brief(one) for one in both] == [("first", 20, 0), ("", 0, 0)]
    assert written.take() == ["INSERT sources"] * 20
