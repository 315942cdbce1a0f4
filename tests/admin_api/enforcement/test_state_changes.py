# SPDX-License-Identifier: GPL-3.0-or-later
"""Saving what the engine knows writes only what changed, and restores as if all had been written."""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from admin_api.enforcement import engine_state
from admin_api.enforcement.engine_state import EngineStateSaver, restore_engine_state, save_engine_state
from admin_api.store import Store
from sentry_engine import Engine, Policy, Reason
from sentry_engine.addresses import pack_network
from sentry_engine.detectors import Attempt
from sentry_engine.engine import state_changes
from sentry_engine.geoip.lookup import Location

pytestmark = pytest.mark.asyncio

TABLES = ("penalties", "sources", "whereabouts")
SAVED_AT = 1_700_000_000.0  # Unix time
STEP = 1.7  # seconds; no multiple of it is a window or a penalty, so that no event is at the very edge of one
ROUNDS = 40
KNOWN = 1_000


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
    assert len((await saver.save()).sources) == KNOWN
    assert written.take() == ["INSERT sources"] * KNOWN
    assert await saver.save() is None
    assert written.take() == []
    machine.now += STEP
    assert await saver.save() is None
    assert written.take() == [], "time alone writes nothing"
    fail(engine, 7)
    assert await saver.save() is None
    assert written.take() == ["DELETE sources", "INSERT sources"]
    for number in range(10):
        fail(engine, number)
    await saver.save()
    assert written.take() == ["DELETE sources"] * 10 + ["INSERT sources"] * 10
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


async def test_what_ended_goes_at_the_next_whole_save_and_an_empty_store_is_left_alone(
    store, written, machine, control
):
    engine, saver_clock = machine.boot(), [0.0]
    saver = EngineStateSaver(store, engine, control, lambda: saver_clock[0])
    await saver.save()
    fail(engine, 1)
    await saver.save()
    machine.now += 61.0
    saver_clock[0] += engine_state.WHOLE_INTERVAL - 1
    assert await saver.save() is None
    assert written.take() == ["INSERT sources"]
    saver_clock[0] += 1
    assert await saver.save() is not None
    assert written.take() == ["DELETE sources"]
    saver_clock[0] += engine_state.WHOLE_INTERVAL
    assert await saver.save() is None
    assert written.take() == []


@pytest.mark.parametrize("reason", ["policy", "clock", "forgiven", "many", "added", "failed"])
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
        case "forgiven":
            engine.penalize("198.18.0.1", 60, reason=Reason.PENALTY)
            engine.clear_penalties("198.18.0.0/16")
        case "many":
            monkeypatch.setattr(state_changes, "MAX_CHANGES", 3)
        case "added":
            monkeypatch.setattr(engine_state, "MAX_ADDED", 3)
            assert await saver.save() is None
        case "failed":
            monkeypatch.setattr(Engine, "take_changes", lambda _: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await saver.save()
            monkeypatch.undo()
    assert len((await saver.save()).sources) == (0 if reason == "forgiven" else 4)
    assert await saver.save() is None


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
    state = engine.export_state()
    found: dict[str, Any] = {f"penalty {p.network}": [p.until, p.reason, p.rule_id] for p in state.penalties}
    for source in state.sources:
        events = sorted(tuple(burst.to_json()) for burst in source.events)
        found[source.network] = [source.strikes, source.forgotten_at, *(value for burst in events for value in burst)]
    for user in state.users:
        found[user.user] = [*user.countries, *(user.place or ()), user.seen_at]
    return found


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, values in found.items():
        assert len(values) == len(expected[name]), name
        for value, wanted in zip(values, expected[name], strict=True):
            is_time = isinstance(value, float) and isinstance(wanted, float)
            assert (abs(value - wanted) < 1e-3) if is_time else value == wanted, name


@pytest.mark.parametrize("seed", range(3))
async def test_changes_restore_as_the_whole_state_does(either_store, machine, control, seed):
    dice, engine = random.Random(seed), machine.boot()
    saver = EngineStateSaver(either_store, engine, control)
    by_changes = 0
    for _ in range(ROUNDS):
        for _ in range(dice.randrange(12)):
            act(dice, machine, engine)
        if dice.random() < 0.05:
            engine.swap(policy(max_failures=dice.choice([2, 3]), per_minute=dice.choice([5, 20])))
        if dice.random() < 0.05:
            engine.clear_penalties(f"198.18.0.{dice.randrange(12)}")
        by_changes += await saver.save() is None
    assert by_changes > ROUNDS / 2
    after_changes = await restored(machine, either_store, control)
    await save_engine_state(either_store, engine, control)
    assert after_changes
    assert_equal(after_changes, await restored(machine, either_store, control))
