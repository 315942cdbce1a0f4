# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines on clocks that a test moves, what they know, and what the store has of it."""

from __future__ import annotations

import math
import random
import sqlite3
from typing import Any

from admin_api.enforcement.engine_state import Saved, restore_engine_state
from admin_api.store import Store
from sentry_engine import Engine, Policy, Reason
from sentry_engine.addresses import pack_network
from sentry_engine.detectors import Attempt
from sentry_engine.geoip.lookup import Location

TABLES = ("penalties", "sources", "whereabouts")
SAVED_AT = 1_700_000_000.0  # Unix time
STEP = 1.7  # seconds; no multiple of it is a window or a penalty, so that no event is at the very edge of one


def policy(max_failures: int = 3, per_minute: int = 20, window: int = 60, extra: str = "") -> Policy:
    """``per_minute`` 0: without a limit of connections. ``extra``: the label of another event that is limited."""
    everyone = ["0.0.0.0/0", "::/0"]
    guess = {"id": "guess", "type": "auth_limit", "remote_addr": everyone, "max_failures": max_failures}
    guess |= {"window_sec": window, "penalty_duration_sec": 30, "strike_memory_sec": 90}
    rate = {
        "id": "rate",
        "type": "rate_limit",
        "remote_addr": everyone,
        "max_connections": per_minute,
        "window_sec": 60,
    }
    sentry = {"version": "1", "rules": [guess, rate] if per_minute else [guess]}
    if not per_minute:
        sentry["builtin_limits"] = False
    if extra:
        sentry["events"] = [{"label": extra, "max_events": 5, "window_sec": 60}]
    return Policy.from_document({"wolfsentry": sentry})


class Machine:
    """Engines on one pair of clocks that the test moves."""

    def __init__(self) -> None:
        self.now, self.offset = 1_000.0, SAVED_AT
        self.made: list[Engine] = []

    def boot(self, rules: Policy | None = None) -> Engine:
        engine = Engine(rules or policy(), clock=lambda: self.now, wall_clock=lambda: self.now + self.offset)
        self.made.append(engine)
        return engine


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


def brief(saved: Saved) -> tuple[str, int, int]:
    """Without the time that it took."""
    return saved.whole, saved.sources, saved.left_out


def fail(engine: Engine, number: int, event: str = "auth_failure") -> None:
    """A failed login of user "ann", or ``event``, from source ``number``."""
    engine.decide(event, f"198.18.{number // 250}.{number % 250 + 1}", user="ann")


def log_in(machine: Machine, engine: Engine, user: str, country: str) -> None:
    where = Location(country=country, latitude=50.0 + len(country), longitude=8.0)
    engine.detectors.observe(Attempt(user, pack_network("192.0.2.0/24"), machine.now, True, where))


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
