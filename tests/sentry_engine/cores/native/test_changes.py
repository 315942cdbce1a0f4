# SPDX-License-Identifier: GPL-3.0-or-later
"""Who follows the changes of a core knows what the core knows, whatever was evicted, cleared or ended meanwhile."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from sentry_engine.addresses import pack_address
from sentry_engine.cores.interface import SourceState, Strikes
from sentry_engine.cores.native.changes import SWEEP_CALLS
from sentry_engine.cores.native.core import NativeCore
from sentry_engine.cores.reference.known_networks import list_known, read_networks
from sentry_engine.verdict import Event, Reason

PENALISED = 44_000  # of 131 072 rows, in sets of eight: some sets are full
ALL = 1_000_000


@pytest.fixture
def core() -> Iterator[NativeCore]:
    made = NativeCore()
    yield made
    made.close()


def take(core: NativeCore, now: float) -> list[SourceState]:
    return list(core.read_networks(core.take_changes(now, ALL), lambda: now))


class Follower:
    """Penalties and strikes by network, as the changes tell them."""

    def __init__(self, core: NativeCore) -> None:
        self._core = core
        self.penalties: dict[bytes, float] = {}
        self.strikes: dict[bytes, int] = {}

    def take(self, now: float) -> int:
        """Returns the number of networks that were told."""
        states = take(self._core, now)
        for state in states:
            self.penalties.pop(state.network, None)
            self.strikes.pop(state.network, None)
            if state.penalty is not None:
                self.penalties[state.network] = state.penalty.until
            if state.strikes is not None:
                self.strikes[state.network] = state.strikes.count
        return len(states)

    def check(self, now: float) -> None:
        assert self.penalties == {p.network: p.until for p in self._core.penalties(now)}
        assert self.strikes == {s.network: s.count for s in self._core.strikes(now)}


def penalise(core: NativeCore, chance: random.Random, until: float, first: int) -> None:
    address = pack_address(f"{first}.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}")
    core.penalize(address, 128, until, Reason.PENALTY, None)
    if chance.random() < 0.2:
        core.restore_strikes(Strikes(address, 128, 1 + chance.randrange(5), until + 100.0), 0.0)


def test_penalties_that_others_evict_are_told(core, words):
    core.publish(words.plan())
    chance, follower = random.Random(8), Follower(core)
    for _ in range(PENALISED):
        penalise(core, chance, 50.0 + chance.random(), 10)
    follower.take(1.0)
    follower.check(1.0)
    kept = follower.penalties.keys() | set()
    for turn in range(3):
        for _ in range(1_000):
            penalise(core, chance, 60.0, 11)
        if turn == 1:
            core.clear_penalties(pack_address("10.7.0.0"), 112, 2.0)
        assert follower.take(2.0) < 2_000
        follower.check(2.0)
    assert any(network not in follower.penalties for network in kept)


def test_what_ended_is_told_once_within_a_sweep(core, words):
    core.publish(words.plan())
    chance, follower = random.Random(9), Follower(core)
    for until in (50.0, 70.0, math.inf):
        for _ in range(100):
            penalise(core, chance, until, 10)
    follower.take(1.0)
    for now in (60.0, 160.0, 300.0):
        for _ in range(SWEEP_CALLS):
            follower.take(now)
        follower.check(now)
        assert sum(follower.take(now) for _ in range(SWEEP_CALLS)) == 0
    assert set(follower.penalties.values()) == {math.inf}


def test_cleared_rows_are_told_even_if_they_were_not_before(core, words):
    """What is read while marks are taken may hold a row that was put in between: a clear must not leave it saved."""
    core.publish(words.plan())
    network, other = pack_address("192.0.2.1"), pack_address("192.0.2.2")
    core.penalize(other, 128, 50.0, Reason.PENALTY, None)
    assert len(take(core, 1.0)) == 1
    core.penalize(network, 128, 50.0, Reason.PENALTY, None)
    assert {penalty.network for penalty in core.penalties(1.0)} == {network, other}  # the whole state is saved
    assert core.clear_penalties(network, 128, 1.0) == 1
    (state,) = take(core, 1.0)
    assert (state.network, state.penalty, state.strikes, state.bursts) == (network, None, None, ())
    core.clear_penalties(other, 128, 1.0)
    (state,) = take(core, 1.0)
    assert (state.network, state.penalty) == (other, None)
    assert take(core, 1.0) == []


@pytest.mark.parametrize("most", [1, 40, 300, 100_000])
def test_all_that_is_known_is_what_the_lists_say(core, words, most):
    """The native core collects it in C; ``list_known`` of the reference core makes it of the same core's lists."""
    core.publish(words.plan(limits={"::/0": [words.limit(5, 60.0), words.limit(20, 60.0, event=Event.AUTH_FAILURE)]}))
    chance = random.Random(most)
    for _ in range(200):
        penalise(core, chance, chance.choice([5.0, 50.0, math.inf]), 10)
    for event in (Event.CONNECT, Event.AUTH_FAILURE):
        for _ in range(600):
            network = chance.choice(["10.9.0", "2001:db8:0"])
            number = chance.randrange(100)
            core.answer(f"{network}.{number}" if "." in network else f"{network}:{number}::1", event, 1.0)
    found, expected = core.list_known(9.0, most), list_known(core, 9.0, most)
    assert expected.left_out == max(0, sum(r.is_source for r in list_known(core, 9.0, ALL).rows) - most)
    weights = {(one.network, one.length): one.count << 32 for one in core.strikes(9.0)}
    for burst in core.bursts(9.0):
        source = (burst.network, burst.length)
        weights[source] = weights.get(source, 0) + burst.count
    rows, wanted = list(found.rows), list(expected.rows)
    assert list(found.rows) == rows
    assert found.left_out == expected.left_out
    assert {r[:2] for r in rows if r.in_penalty} == {r[:2] for r in wanted if r.in_penalty}
    # Of sources with the same weight any may be among the heaviest.
    assert sorted(weights[r[:2]] for r in rows if r.is_source) == sorted(weights[r[:2]] for r in wanted if r.is_source)
    assert [r[:2] for r in rows] == sorted(r[:2] for r in rows)
    if not found.left_out:
        assert rows == wanted
        networks = [r[:2] for r in rows]
        states = zip(core.read_networks(networks, lambda: 9.0), read_networks(core, networks, lambda: 9.0), strict=True)
        for one, other in states:
            assert (one.penalty, one.strikes) == (other.penalty, other.strikes)
            assert Counter(one.bursts) == Counter(other.bursts)


def test_nothing_is_read_of_a_core_that_was_closed_meanwhile(core):
    states = core.read_networks([(bytes(16), 128)] * 3, lambda: 1.0)
    next(states)
    core.close()
    with pytest.raises(RuntimeError, match="closed"):
        next(states)
