# SPDX-License-Identifier: GPL-3.0-or-later
"""Saving what the engine knows writes only what changed, and restores as if all had been written."""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from admin_api.enforcement import engine_state
from admin_api.enforcement.engine_state import EngineStateSaver, Saved, restore_engine_state, save_engine_state
from admin_api.store import Store, UnitOfWork
from sentry_engine import Engine, Policy, Reason
from sentry_engine.addresses import pack_network
from sentry_engine.cores.native.changes import SWEEP_CALLS
from sentry_engine.detectors import Attempt
from sentry_engine.engine import state_changes
from sentry_engine.geoip.lookup import Location

pytestmark = pytest.mark.asyncio

TABLES = ("penalties", "sources", "whereabouts")
SAVED_AT = 1_700_000_000.0  # Unix time
STEP = 1.7  # seconds; no multiple of it is a window or a penalty, so that no event is at the very edge of one
ROUNDS = 40
KNOWN = 1_000
CROWD = 44_000  # of which some fill a set of the core's tables
SE_LOST_ROOM = 32_768  # networks of evicted and cleared rows that the core notes


def policy(max_failures: int = 3, per_minute: int = 20) -> Policy:
    everyone = ["0.0.0.0/0", "::/0"]
    guess = {"id": "guess", "type": "auth_limit", "remote_addr": everyone, "max_failures": max_failures}
    guess |= {"window_sec": 60, "penalty_duration_sec": 30, "strike_memory_sec": 90}
    rate = {
        "id": "rate",
        "type": "rate_limit",
        "remote_addr": everyone,
        "max_connections": per_minute,
        "window_sec": 60,
    }
    return Policy.from_document({"wolfsentry": {"version": "1", "rules": [guess, rate]}})


class Machine:
    """Engines on one pair of clocks that the test moves."""

    def __init__(self) -> None:
        self.now, self.offset = 1_000.0, SAVED_AT
        self.made: list[Engine] = []

    def boot(self, rules: Policy | None = None) -> Engine:
        engine = Engine(rules or policy(), clock=lambda: self.now, wall_clock=lambda: self.now + self.offset)
        self.made.append(engine)
        return engine


@pytest.fixture
def machine():
    made = Machine()
    yield made
    for engine in made.made:
        engine.close()


@pytest.fixture(params=["store_url", "postgresql_url"])
def either_url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


@pytest_asyncio.fixture
async def either_store(either_url: str) -> AsyncIterator[Store]:
    opened = await Store.open(either_url)
    yield opened
    await opened.close()


class WrittenRows:
    """Counts the rows that are inserted, updated and deleted, by triggers in the database."""

    def __init__(self, url: str) -> None:
        self._database = sqlite3.connect(url.removeprefix("sqlite:///"))
        self._database.execute("CREATE TABLE written (what TEXT)")
        for table in TABLES:
            for change in ("INSERT", "UPDATE", "DELETE"):
                self._database.execute(
                    f"CREATE TRIGGER {table}_{change} AFTER {change} ON {table} "
                    f"BEGIN INSERT INTO written VALUES ('{change} {table}'); END"
                )
        self._database.commit()

    def take(self) -> list[str]:
        """What was written since the last call, in order."""
        found = [what for (what,) in self._database.execute("SELECT what FROM written ORDER BY rowid")]
        self._database.execute("DELETE FROM written")
        self._database.commit()
        return found

    def close(self) -> None:
        self._database.close()


@pytest.fixture
def written(store_url):
    counter = WrittenRows(store_url)
    yield counter
    counter.close()


def fail(engine: Engine, number: int, event: str = "auth_failure") -> None:
    """A failed login of user "ann", or ``event``, from source ``number``."""
    engine.decide(event, f"198.18.{number // 250}.{number % 250 + 1}", user="ann")


def log_in(machine: Machine, engine: Engine, user: str, country: str) -> None:
    where = Location(country=country, latitude=50.0 + len(country), longitude=8.0)
    engine.detectors.observe(Attempt(user, pack_network("192.0.2.0/24"), machine.now, True, where))


async def test_a_save_writes_the_rows_that_changed(store, written, machine, control):
    engine = machine.boot()
    for number in range(KNOWN):
        fail(engine, number)
    saver = EngineStateSaver(store, engine, control)
    assert await saver.save() == Saved(True, KNOWN, 0)
    assert written.take() == ["INSERT sources"] * KNOWN
    assert await saver.save() == Saved(False, 0, 0)
    assert written.take() == []
    machine.now += STEP
    assert await saver.save() == Saved(False, 0, 0)
    assert written.take() == [], "time alone writes nothing"
    fail(engine, 7)
    assert await saver.save() == Saved(False, 1, 0)
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
        assert not (await saver.save()).is_whole
    found = written.take()
    assert found.count("DELETE penalties") == 2
    assert found.count("DELETE sources") == 29, "the strikes of one are remembered"
    machine.now += 61.0
    for _ in range(SWEEP_CALLS):
        await saver.save()
    assert written.take() == ["DELETE sources"]
    for _ in range(SWEEP_CALLS):
        assert await saver.save() == Saved(False, 0, 0)
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


@pytest.mark.parametrize("reason", ["policy", "clock", "many", "failed"])
async def test_all_is_saved_where_changes_do_not_tell_all(store, machine, control, monkeypatch, reason):
    engine = machine.boot()
    saver = EngineStateSaver(store, engine, control)
    await saver.save()
    for number in range(4):
        fail(engine, number)
    match reason:
        case "policy":
            engine.swap(policy(max_failures=2))
        case "clock":
            machine.offset += 3_600.0
        case "many":
            monkeypatch.setattr(state_changes, "MAX_CHANGES", 3)
        case "failed":
            monkeypatch.setattr(Engine, "take_changes", lambda _: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await saver.save()
            monkeypatch.undo()
    assert await saver.save() == Saved(True, 4, 0)
    assert await saver.save() == Saved(False, 0, 0)


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
    assert await saver.save() == Saved(False, 0, 0)
    assert sorted(written.take()) == ["DELETE penalties"] + ["DELETE sources"] * 4


async def test_more_lost_rows_than_are_noted_save_everything(machine):
    engine = machine.boot()
    for number in range(SE_LOST_ROOM + 1_000):
        engine.penalize(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 60, reason=Reason.PENALTY)
    engine.take_changes()
    engine.clear_penalties("10.0.0.1")
    assert engine.take_changes() is not None
    engine.clear_penalties("10.0.0.0/8")
    assert engine.take_changes() is None
    assert engine.take_changes() is not None


def act(dice: random.Random, machine: Machine, engine: Engine) -> None:
    number, user = dice.randrange(12), dice.choice(["ann", "ben", "eve"])
    match dice.choices(range(7), [30, 10, 4, 4, 6, 2, 10])[0]:
        case 0:
            fail(engine, number)
        case 1:
            engine.decide("connect", f"2001:db8:0:{number}::1")
        case 2:
            engine.penalize(f"203.0.113.{number}", dice.choice([20, math.inf]), reason=Reason.BLACKLISTED)
        case 3:
            fail(engine, number, "auth_success")
        case 4:
            log_in(machine, engine, user, dice.choice(["DE", "SWE"]))
        case 5:
            engine.detectors.forget_user(user)
        case 6:
            machine.now += STEP * dice.randrange(12)


async def restored(machine: Machine, store: Store, control: Any) -> dict[str, Any]:
    """What an engine that starts now knows: networks and users with numbers that are equal to a millisecond."""
    engine = machine.boot()
    await restore_engine_state(store, engine, control)
    return known(engine)


def known(engine: Engine) -> dict[str, Any]:
    state = engine.export_state()
    found: dict[str, Any] = {f"penalty {p.network}": [p.until, p.reason, p.rule_id] for p in state.penalties}
    for source in state.sources:
        events = sorted(tuple(burst.to_json()) for burst in source.events)
        found[source.network] = [source.strikes, source.forgotten_at, *(value for burst in events for value in burst)]
    for user in state.users:
        found[user.user] = [*user.countries, *(user.place or ()), user.seen_at]
    return found


def is_equal(values: list[Any], wanted: list[Any]) -> bool:
    def are_same(value: object, other: object) -> bool:
        are_times = isinstance(value, float) and isinstance(other, float)
        return abs(value - other) < 1e-3 if are_times else value == other

    return len(values) == len(wanted) and all(map(are_same, values, wanted))


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, values in found.items():
        assert is_equal(values, expected[name]), name


class CrashingStore:
    """A store whose process ends before one of its transactions is committed."""

    def __init__(self, store: Store, after: int) -> None:
        self._store, self._left = store, after

    @asynccontextmanager
    async def write(self) -> AsyncIterator[UnitOfWork]:
        async with self._store.write() as unit:
            yield unit
            self._left -= 1
            if self._left < 0:
                raise ConnectionError("the process ended")


@pytest.mark.parametrize("seed", range(3))
async def test_changes_restore_as_the_whole_state_does(either_store, machine, control, seed, monkeypatch):
    monkeypatch.setattr(state_changes, "CHANGES_AT_A_TIME", 3)
    dice, engine = random.Random(seed), machine.boot()
    saver = EngineStateSaver(either_store, engine, control)
    by_changes = 0
    for _ in range(ROUNDS):
        for _ in range(dice.randrange(12)):
            act(dice, machine, engine)
        if dice.random() < 0.05:
            engine.swap(policy(max_failures=dice.choice([2, 3]), per_minute=dice.choice([5, 20])))
        if dice.random() < 0.1:
            engine.clear_penalties(f"198.18.0.{dice.randrange(12)}")
        by_changes += not (await saver.save()).is_whole
    assert by_changes > ROUNDS / 2
    after_changes = await restored(machine, either_store, control)
    await save_engine_state(either_store, engine, control)
    assert after_changes
    assert_equal(after_changes, await restored(machine, either_store, control))


async def stored(store: Store) -> dict[str, Any]:
    """What the rows say, as ``known`` returns it."""
    async with store.read() as unit:
        penalties, sources = await unit.penalties.read_all(), await unit.sources.read_all()
        users = await unit.locations.read_all()
    found = {
        f"penalty {p['network']}": [p["until"] and p["until"].timestamp(), Reason(p["reason"]), p["rule_id"]]
        for p in penalties
    }
    for source in sources:
        events = sorted(map(tuple, source["events"]))
        found[source["network"]] = [source["strikes"], source["forgotten_at"], *(v for burst in events for v in burst)]
    return found | {user["user"]: [*user["countries"], *(user["place"] or ()), user["seen_at"]] for user in users}


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


async def test_a_small_change_beside_evictions_is_a_small_save(store, written, machine, control):
    """Some sets of the core's table are full, so that new sources evict others, of which nothing stays saved."""
    engine = machine.boot(policy(max_failures=1_000, per_minute=1_000))
    crowd = [f"10.{number >> 8}.{number & 255}.1" for number in range(CROWD)]
    for event in ("connect", "auth_failure"):
        engine.decide_many(event, crowd)
    saver, dice, evicted = EngineStateSaver(store, engine, control), random.Random(1), engine.counters().evicted
    assert (await saver.save()).is_whole
    written.take()
    for _ in range(3):
        new = [f"11.{dice.randrange(256)}.{dice.randrange(256)}.{dice.randrange(256)}" for _ in range(600)]
        engine.decide_many("connect", new + dice.choices(crowd, k=400))
        assert not (await saver.save()).is_whole
    evicted = engine.counters().evicted - evicted
    assert 0 < evicted < 300
    assert len(written.take()) <= 3 * 1_000 + evicted
    assert_equal(await stored(store), known(engine))
