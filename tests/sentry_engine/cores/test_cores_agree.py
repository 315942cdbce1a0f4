# SPDX-License-Identifier: GPL-3.0-or-later
"""The native core agrees with the reference core on any policy and any history of events, swaps and penalties."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentry_engine.addresses import mask, pack_address, render_network
from sentry_engine.cores.interface import Core
from sentry_engine.cores.plan import Aggregation, Payback, Tier
from sentry_engine.verdict import Action, Event, Reason

# Few adjacent addresses, so prefixes nest and sources coincide. Times are exact in binary and in units of 32 ns, in
# which the native core stores a window of 20 seconds.
TICKS = 16  # per second
V4 = st.integers(0, 15).map(lambda n: f"10.0.{n >> 2}.{n & 3}")
V6 = st.integers(0, 63).map(lambda n: f"2001:db8:{n >> 5:x}:{(n >> 2 & 7) << 6 | n & 3:x}::{n & 1}")
ADDRESS = st.one_of(V4, V6)
EVENT = st.sampled_from([Event.CONNECT, Event.AUTH_FAILURE, Event.AUTH_SUCCESS, 16, 17, 9])
RULE = st.integers(0, 15)
NOW = st.integers(0, 100 * TICKS).map(lambda ticks: ticks / TICKS)
PREFIX = st.tuples(ADDRESS, st.sampled_from([0, 96, 112, 119, 120, 126, 127, 128, 32, 48, 57, 63, 64]))


def render(prefix: tuple[str, int]) -> str:
    address, length = prefix
    packed = pack_address(address)
    if ":" not in address and length < 96:
        length = 96
    return render_network(mask(packed, length), length)


@st.composite
def plans(draw: st.DrawFn, words: Any) -> Any:
    network = PREFIX.map(render)

    def entries(reason: Reason) -> Any:
        end = st.none() | NOW
        action = st.sampled_from([Action.ACCEPT, Action.REJECT])

        def make(net: str, act: Action, rule: int, when: float | None) -> Any:
            say = words.accept if act is Action.ACCEPT else words.reject
            return net, say(rule, expires_at=when)

        return st.builds(make, network, action, RULE, end)

    tiers = [tier for tier in Tier if tier is not Tier.LIMITS]
    tables = {tier: draw(st.lists(entries(Reason.RULE), max_size=4)) for tier in draw(st.sets(st.sampled_from(tiers)))}
    limit = st.builds(
        words.limit,
        st.integers(1, 4),
        st.sampled_from([1.0, 5.0, 20.0]),
        st.sampled_from([0.0, 2.0, 8.0]),
        rule=RULE,
        penalty_growth=st.sampled_from([1.0, 2.0]),
        penalty_max=st.sampled_from([16.0, 86_400.0]),
        strike_memory=st.sampled_from([4.0, 64.0]),
        blacklist_ttl=st.none() | st.just(16.0),
    )

    def members(chosen: dict[int, Any]) -> list[Any]:
        return [
            replace(one, event=int(event), blacklist_threshold=3 if one.penalty and event == Event.CONNECT else 0)
            for event, one in chosen.items()
        ]

    events = st.sampled_from([Event.CONNECT, Event.AUTH_FAILURE, 16])
    limits = draw(st.dictionaries(network, st.dictionaries(events, limit, max_size=3).map(members), max_size=4))
    return words.plan(
        tables=tables,
        limits=limits,
        paybacks=(Payback(Event.AUTH_SUCCESS, Event.AUTH_FAILURE, draw(st.integers(1, 3))),),
        event_labels=("portal",),
        default=draw(st.sampled_from([Action.ACCEPT, Action.REJECT])),
        on_missing=draw(st.sampled_from([None, Action.ACCEPT, Action.REJECT])),
        aggregation=Aggregation(
            draw(st.sampled_from([24, 31, 32])), draw(st.sampled_from([48, 56, 64])), draw(st.integers(0, 3))
        ),
    )


STEP = st.one_of(
    st.tuples(st.just("decide"), ADDRESS, EVENT, st.integers(0, 2 * TICKS)),
    st.tuples(st.just("decide"), ADDRESS, st.just(Event.CONNECT), st.integers(0, 2)),
    st.tuples(st.just("trace"), ADDRESS, EVENT, st.integers(0, 2)),
    st.tuples(st.just("forgive"), PREFIX),
    st.tuples(
        st.just("penalize"), PREFIX, st.integers(0, 10), st.sampled_from([Reason.PENALTY, Reason.PASSWORD_SPRAY])
    ),
    st.tuples(st.just("publish"), st.integers(0, 1)),
    st.tuples(st.just("list")),
    st.tuples(st.just("restart")),
)


def carry(old: Core, new: Core, now: float) -> None:
    for p in old.penalties(now):
        new.penalize(p.network, p.length, p.until, p.reason, p.rule_id)
    for strikes in old.strikes(now):
        new.restore_strikes(strikes, now)
    for burst in old.bursts(now):
        new.restore_burst(burst, now)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_history_gives_the_same_answers(data: st.DataObject, both_cores: Any, words: Any) -> None:
    (reference, native), published = both_cores(), 0
    native.watch(data.draw(st.sampled_from([0, 1, 2])))  # one in so many is recorded; those are walked by themselves
    choices = [data.draw(plans(words)), data.draw(plans(words))]
    for core in (reference, native):
        core.publish(choices[0])
    now = 0.0
    for step in data.draw(st.lists(STEP, max_size=60)):
        match step:
            case ("decide", address, event, ticks):
                now += ticks / TICKS
                answers = [core.decide(words.ask(address, now, event)) for core in (reference, native)]
            case ("trace", address, event, ticks):
                now += ticks / TICKS
                walks = [core.trace(words.ask(address, now, event)) for core in (reference, native)]
                answers = [walk[0] if walk[0].reason is Reason.INVALID_REQUEST else walk for walk in walks]
            case ("forgive", (address, length)):
                network = mask(pack_address(address), length)
                answers = [core.clear_penalties(network, length, now) for core in (reference, native)]
            case ("penalize", (address, length), seconds, reason):
                network = mask(pack_address(address), length)
                for core in (reference, native):
                    core.penalize(network, length, now + seconds, reason, "hand")
                answers = [0, 0]
            case ("publish", published):
                for core in (reference, native):
                    core.publish(choices[published])
                answers = [0, 0]
            case ("restart",):
                before, (reference, native) = (reference, native), both_cores()
                for old, new in zip(before, (reference, native), strict=True):
                    new.publish(choices[published])
                    carry(old, new, now)
                answers = [sorted(map(repr, core.strikes(now))) for core in (reference, native)]
            case _:
                answers = [{(p.network, p.length): p for p in core.penalties(now)} for core in (reference, native)]
        assert answers[0] == answers[1], (step, now)
    assert reference.rule_hits() == native.rule_hits()


EXTREMES = (-1e308, -1e300, -1e10, -1.0, 0.0, 1e9, 9.1e9, 9.2e9, 1e10, 1e300, 1.7e308)
ENDS = (None, 0.0, 1e9, 9.1e9, 9.2e9, 1e300, -1e300)


@pytest.mark.parametrize("penalty", [0.0, 5.0, 9.1e9, 1e10, 1e300])
@pytest.mark.parametrize("ttl", [None, 5.0, 9.1e9, 1e300])
@pytest.mark.parametrize("verified", [True, False])
def test_extreme_limits_and_ends_give_the_same_answers(
    both_cores: Any, words: Any, penalty: float, ttl: float | None, verified: bool
) -> None:
    more = {"penalty_growth": 1e200, "penalty_max": 1e300, "strike_memory": 1e300}
    limit = words.limit(2, 10.0, penalty, blacklist_threshold=3, blacklist_ttl=ttl, **more)
    rows = [(f"198.51.100.{number}/32", words.reject(expires_at=end)) for number, end in enumerate(ENDS)]
    plan = words.plan(tables={Tier.RULES: rows}, limits={"0.0.0.0/0": [limit]})
    for now in (0.0, 1.0, 1e9, 2.0**31):  # whole nanoseconds of them are exact in binary
        seen = []
        for core in both_cores():
            core.publish(plan)
            asks = [words.ask(f"198.51.100.{number}", now) for number in range(len(ENDS))]
            asks += [
                words.ask("192.0.2.1", now + later, verified=verified) for later in (0, 0, 0, 0, 6, 6, 6, 12, 12, 12)
            ]
            answers: list[Any] = [core.decide(ask) for ask in asks]
            core.penalize(pack_address("192.0.2.2"), 128, now + penalty, Reason.PENALTY, None)
            answers.append(core.trace(words.ask("192.0.2.2", now)))
            answers.append(sorted((p.text, p.until, p.strikes) for p in core.penalties(now)))
            answers.append([(strikes.count, strikes.until) for strikes in core.strikes(now)])
            seen.append(answers)
        assert seen[0] == seen[1]


@pytest.mark.parametrize("now", EXTREMES)
def test_no_time_makes_a_core_fail(core: Core, words: Any, now: float) -> None:
    core.publish(words.plan(limits={"0.0.0.0/0": [words.limit(2, 10.0, 1e300)]}))
    for address, verified in (("192.0.2.1", True), ("192.0.2.3", False)):
        asks = [words.ask(address, now, verified=verified) for _ in range(3)]
        assert core.decide(asks[0]).accepted
        for ask in asks[1:]:
            core.decide(ask)
            core.trace(ask)
    core.penalize(pack_address("192.0.2.2"), 128, now, Reason.PENALTY, None)
    core.penalties(now)
    carry(core, core, now)
