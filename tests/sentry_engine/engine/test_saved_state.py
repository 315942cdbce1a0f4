# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarting does not reset counters: events and strikes of a source count in the next engine, on its own clock."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sentry_engine import Engine, Policy, Reason, State
from sentry_engine.addresses import pack_network
from sentry_engine.cores.interface import Burst
from sentry_engine.detectors import Attempt
from sentry_engine.engine import state_transfer
from sentry_engine.geoip.lookup import Location

SOURCE, OTHER, SIX = "192.0.2.1", "198.51.100.1", "2001:db8:0:7::1"
SAVED_AT = 1_700_000_000.0  # Unix time
EARLIER_BOOT = 5_000_000.0  # the clock of a machine with an uptime of two months


def limit(max_failures: int = 3, window: int = 600, penalty: int = 60, **more: Any) -> dict[str, Any]:
    return {
        "id": "guess",
        "type": "auth_limit",
        "remote_addr": ["0.0.0.0/0", "::/0"],
        "max_failures": max_failures,
        "window_sec": window,
        "penalty_duration_sec": penalty,
        **more,
    }


class Machine:
    """Successive engines, each with its own clock, on one wall clock."""

    def __init__(self, core_name: str) -> None:
        self.core_name, self.wall, self.made = core_name, SAVED_AT, []

    def boot(self, rule: dict[str, Any], clock: float, state: State | None = None) -> Engine:
        policy = Policy.from_document({"wolfsentry": {"version": "1", "rules": [rule]}})
        self.began, self.clock = self.wall, clock
        engine = Engine(policy, core=self.core_name, clock=self.now, wall_clock=lambda: self.wall)
        self.made.append(engine)
        if state is not None:
            engine.import_state(state)
        return engine

    def now(self) -> float:
        return self.clock + self.wall - self.began

    def reboot(self, rule: dict[str, Any], *, after: float, clock: float = 20.0) -> Engine:
        """The next engine ``after`` seconds later, with the state read from JSON text."""
        kept = json.loads(json.dumps(self.made[-1].export_state().to_json()))
        self.wall += after
        return self.boot(rule, clock, State.from_json(kept))

    def fail(self, address: str, times: int) -> list[bool]:
        return [self.made[-1].decide("auth_failure", address).accepted for _ in range(times)]


@pytest.fixture
def machine(core_name: str) -> Iterator[Machine]:
    made = Machine(core_name)
    yield made
    for engine in made.made:
        engine.close()


class TestWindows:
    @pytest.mark.parametrize("address", [SOURCE, SIX])
    def test_one_before_the_limit_stays_one_before_it(self, machine, address):
        machine.boot(limit(), EARLIER_BOOT)
        assert machine.fail(address, 2) == [True, True]
        machine.reboot(limit(), after=300.0)
        assert machine.fail(address, 2) == [True, False]
        assert machine.fail(OTHER, 3) == [True] * 3

    def test_what_left_the_window_while_the_server_was_down_is_forgiven(self, machine):
        machine.boot(limit(), EARLIER_BOOT)
        machine.fail(SOURCE, 2)
        machine.reboot(limit(), after=601.0)
        assert machine.fail(SOURCE, 4) == [True, True, True, False]

    def test_each_event_leaves_the_window_at_its_own_time(self, machine):
        machine.boot(limit(penalty=0), EARLIER_BOOT)
        for _ in range(3):
            machine.fail(SOURCE, 1)
            machine.wall += 100.0
        machine.reboot(limit(penalty=0), after=250.0)
        assert machine.fail(SOURCE, 1) == [False]
        machine.wall += 51.0  # the first is 601 s old
        assert machine.fail(SOURCE, 2) == [True, False]

    def test_hundreds_of_events_are_no_fewer_after_it(self, machine):
        """The native core stores a large limit in buckets; import may join buckets but loses no event."""
        machine.boot(limit(500), EARLIER_BOOT)
        for _ in range(7):
            machine.fail(SOURCE, 70)
            machine.wall += 70.0
        for _ in range(3):
            machine.reboot(limit(500), after=1.0)
        assert machine.fail(SOURCE, 11) == [True] * 10 + [False]

    def test_a_clock_that_was_set_back_makes_nobody_younger(self, machine):
        machine.boot(limit(), EARLIER_BOOT)
        machine.fail(SOURCE, 2)
        machine.reboot(limit(), after=-86_400.0)
        assert machine.fail(SOURCE, 2) == [True, False]

    def test_another_limit_counts_what_the_old_one_saw(self, machine):
        machine.boot(limit(30, 60), EARLIER_BOOT)
        machine.fail(SOURCE, 20)
        machine.reboot(limit(5, 600), after=10.0)
        assert machine.fail(SOURCE, 1) == [False]

    def test_an_event_that_no_limit_is_about_is_nothing_to_remember(self, machine):
        engine = machine.boot(limit(), EARLIER_BOOT)
        engine._core.restore_burst(Burst(*pack_network(SOURCE), 9, 0.0, 1.0, 3), 2.0)
        assert engine.export_state().sources == ()


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_an_export_leaves_rows_that_were_never_used_unread(machine):
    """The tables of sources have 24 MB. Reading them all would also give them memory."""
    engine = machine.boot(limit(1), EARLIER_BOOT)
    machine.fail(SOURCE, 2)
    before = resident_bytes()
    state = engine.export_state()
    engine.clear_penalties("2001:db8::/32")
    assert resident_bytes() - before < 8 << 20
    assert len(state.sources) == 1
    assert len(engine.penalties()) == 1


def test_the_state_in_parts_is_the_state_but_for_blocks(machine):
    engine = machine.boot(limit(1), EARLIER_BOOT)
    machine.fail(SOURCE, 2)
    machine.fail(OTHER, 1)
    engine.block("198.51.100.0/24", rule_id="block:1")
    engine.detectors.learn_countries("ann", frozenset({"DE"}))
    whole, parts = engine.export_state(), engine.take_state()
    assert (parts.penalties, parts.sources, set(parts.users)) == (
        {f"{SOURCE}/32"},
        {f"{SOURCE}/32", f"{OTHER}/32"},
        {"ann"},
    )
    penalties, sources, users = {}, {}, {}
    for part in parts.changes:
        penalties |= part.penalties
        sources |= part.sources
        users |= part.users
    assert set(penalties.values()) == set(whole.penalties)
    assert set(sources.values()) == set(whole.sources)
    assert tuple(users.values()) == whole.users


class TestStrikes:
    def test_the_next_penalty_is_the_longer_one(self, machine):
        rule = limit(1, penalty=60, penalty_growth=10)
        machine.boot(rule, EARLIER_BOOT)
        machine.fail(SOURCE, 2)
        engine = machine.reboot(rule, after=61.0)
        machine.fail(SOURCE, 2)
        (penalty,) = engine.penalties()
        assert (penalty.strikes, penalty.until - machine.now()) == (2, pytest.approx(600.0))

    def test_the_blacklist_is_as_near_as_before(self, machine):
        rule = limit(1, penalty=60, blacklist_threshold=3)
        machine.boot(rule, EARLIER_BOOT)
        for _ in range(2):
            machine.fail(SOURCE, 2)
            machine.reboot(rule, after=61.0)
        assert machine.fail(SOURCE, 2) == [True, False]
        assert machine.made[-1].decide("connect", SOURCE).reason is Reason.BLACKLISTED

    def test_a_penalty_shows_its_number_again(self, machine):
        rule = limit(1, penalty=60, penalty_growth=10)
        machine.boot(rule, EARLIER_BOOT)
        machine.fail(SOURCE, 2)
        machine.wall += 61.0
        machine.fail(SOURCE, 2)
        engine = machine.reboot(rule, after=10.0)
        assert [p.strikes for p in engine.penalties()] == [2]

    def test_strikes_that_were_forgotten_meanwhile_start_over(self, machine):
        rule = limit(1, penalty=60, penalty_growth=10, strike_memory_sec=100)
        machine.boot(rule, EARLIER_BOOT)
        machine.fail(SOURCE, 2)
        engine = machine.reboot(rule, after=161.0)
        machine.fail(SOURCE, 2)
        assert [p.strikes for p in engine.penalties()] == [1]

    def test_forgiven_is_forgiven(self, machine):
        rule = limit(1, penalty=60, penalty_growth=10)
        engine = machine.boot(rule, EARLIER_BOOT)
        machine.fail(SOURCE, 2)
        engine.clear_penalties(SOURCE)
        assert engine.export_state().sources == ()


class TestUsers:
    BERLIN, NEW_YORK = (52.52, 13.405), (40.713, -74.006)

    @staticmethod
    def log_in(machine: Machine, user: str, country: str, place: tuple[float, float]) -> list[Reason]:
        source = pack_network("192.0.2.0/24")
        where = Location(country=country, latitude=place[0], longitude=place[1])
        found = machine.made[-1].detectors.observe(Attempt(user, source, machine.now(), True, where))
        return [suspicion.reason for suspicion in found]

    def test_the_first_country_after_a_restart_is_not_the_first_of_all(self, machine):
        machine.boot(limit(), EARLIER_BOOT)
        assert self.log_in(machine, "ann", "DE", self.BERLIN) == []
        engine = machine.reboot(limit(), after=86_400.0)
        assert [countries for _, countries, _ in engine.detectors.locations()] == [{"DE"}]
        assert self.log_in(machine, "ann", "US", self.NEW_YORK) == [Reason.NEW_COUNTRY]

    @pytest.mark.parametrize(("hours", "found"), [(1.0, [Reason.IMPOSSIBLE_TRAVEL]), (9.0, [])])
    def test_a_journey_goes_on_while_the_server_is_down(self, machine, hours, found):
        machine.boot(limit(), EARLIER_BOOT)
        self.log_in(machine, "ann", "", self.BERLIN)
        machine.reboot(limit(), after=hours * 3_600)
        assert self.log_in(machine, "ann", "", self.NEW_YORK) == found

    def test_a_wall_clock_that_was_set_back_puts_nobody_into_the_future(self, machine):
        machine.boot(limit(), EARLIER_BOOT)
        self.log_in(machine, "ann", "DE", self.BERLIN)
        engine = machine.reboot(limit(), after=-3_600.0)
        assert engine.detectors.locations() == [("ann", {"DE"}, (*self.BERLIN, machine.now()))]

    def test_what_was_seen_since_is_not_forgotten_for_what_was_before(self, machine):
        machine.boot(limit(), EARLIER_BOOT)
        self.log_in(machine, "ann", "DE", self.BERLIN)
        state = machine.made[-1].export_state()
        engine = machine.reboot(limit(), after=86_400.0)
        self.log_in(machine, "ann", "US", self.NEW_YORK)
        engine.import_state(state)
        assert engine.detectors.locations() == [("ann", {"DE", "US"}, (*self.NEW_YORK, machine.now()))]

    def test_what_could_not_be_put_back_is_left_out(self, machine):
        machine.boot(limit(), EARLIER_BOOT)
        self.log_in(machine, "x" * 1_000, "DE", self.BERLIN)
        self.log_in(machine, "ann", "DE" * 100, (1e9, float("nan")))
        engine = machine.reboot(limit(), after=60.0)
        assert engine.detectors.locations() == []

    @pytest.mark.parametrize(
        "change",
        [
            {"user": 7},
            {"user": "x" * 257},
            {"countries": "DE"},
            {"countries": ["DE"] * 65},
            {"countries": [None]},
            {"countries": [""]},
            {"place": [91, 0]},
            {"place": [0]},
            {"place": [0, "x"]},
            {"place": None},
            {"seen_at": None},
            {"seen_at": "soon"},
        ],
    )
    def test_what_is_no_user_is_an_error(self, change):
        good = {"user": "ann", "countries": ["DE"], "place": [52.5, 13.4], "seen_at": 1.5}
        document = {"version": 3, "penalties": [], "blocks": [], "sources": [], "users": [good]}
        assert State.from_json(document).to_json() == document
        with pytest.raises(ValueError, match=r"."):
            State.from_json({**document, "users": [{**good, **change}]})


class TestBounds:
    def test_beyond_the_bound_those_with_the_least_against_them_are_left_out(self, machine, monkeypatch):
        monkeypatch.setattr(state_transfer, "MAX_SOURCES", 2)
        engine = machine.boot(limit(9), EARLIER_BOOT)
        for last, times in ((1, 1), (2, 5), (3, 3)):
            machine.fail(f"192.0.2.{last}", times)
        state = engine.export_state()
        assert [source.network for source in state.sources] == ["192.0.2.2/32", "192.0.2.3/32"]
        assert state.left_out == 1

    @pytest.mark.parametrize(
        "change",
        [
            {"network": "2001:db8::/100"},
            {"network": "nonsense"},
            {"strikes": -1},
            {"strikes": 70_000},
            {"strikes": True},
            {"forgotten_at": "soon"},
            {"events": "x"},
            {"events": [["connect", 2.0, 1.0, 1]]},
            {"events": [["connect", None, 1.0, 1]]},
            {"events": [["x" * 100, 1.0, 1.0, 1]]},
            {"events": [["connect", 1.0, 1.0]]},
            {"events": [["connect", 1.0, 1.0, 1]] * 300},
        ],
    )
    def test_what_is_no_source_is_an_error(self, change):
        good = {"network": "192.0.2.1/32", "strikes": 1, "forgotten_at": None, "events": [["connect", 1.0, 1.0, 1]]}
        document = {"version": 3, "penalties": [], "blocks": [], "sources": [good], "users": []}
        assert State.from_json(document).to_json() == document
        with pytest.raises(ValueError, match=r"."):
            State.from_json({**document, "sources": [{**good, **change}]})
