# SPDX-License-Identifier: GPL-3.0-or-later
"""The flattened prefix table against a linear search: every tier, both families, entries that expire."""

from __future__ import annotations

import random
from array import array
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentry_engine.addresses import contains, is_ipv4, mask, render_network
from sentry_engine.cores.interface import Request
from sentry_engine.cores.native.core import NativeCore
from sentry_engine.cores.plan import Entry, Plan, PlanError, PrefixTable, Tier
from sentry_engine.verdict import NO_RULE, Action, Event, Reason

V4 = b"\x00" * 10 + b"\xff\xff"
FIRST, LAST = b"\x00" * 16, b"\xff" * 16
PREFIX_TIERS = [tier for tier in Tier if tier is not Tier.LIMITS]
STEP_TIERS = {tier.name.lower(): tier for tier in PREFIX_TIERS}

# Few distinct bytes, so prefixes nest, touch and repeat, with both ends of the space and of the mapped range.
nibbles = st.sampled_from([0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF])
v4_addresses = st.builds(lambda tail: V4 + bytes(tail), st.lists(nibbles, min_size=4, max_size=4))
v6_addresses = st.builds(
    lambda head, middle, tail: bytes(head) + bytes([middle]) * 6 + bytes(tail),
    st.lists(nibbles, min_size=5, max_size=5),
    nibbles,
    st.lists(nibbles, min_size=5, max_size=5),
)
addresses = st.one_of(v4_addresses, v6_addresses, st.sampled_from([FIRST, LAST, V4 + bytes(4), V4 + b"\xff" * 4]))
rows = st.tuples(
    addresses,
    st.one_of(st.sampled_from([0, 1, 8, 32, 48, 63, 64, 65, 95, 96, 97, 104, 120, 127, 128]), st.integers(0, 128)),
    st.sampled_from(PREFIX_TIERS),
    st.sampled_from([None, Action.ACCEPT, Action.REJECT]),
    st.sampled_from([None, None, None, 10.0, 20.0]),
)


def make_plan(drawn, *, shuffle: random.Random | None = None) -> Plan:
    entries = tuple(Entry(action, Reason.RULE, at, expires) for at, (_, _, _, action, expires) in enumerate(drawn))
    tables = []
    for tier in Tier:
        mine = [(mask(address, length), length, at) for at, (address, length, t, _, _) in enumerate(drawn) if t is tier]
        if shuffle:
            shuffle.shuffle(mine)
        packed = b"".join(network for network, _, _ in mine)
        tables.append(PrefixTable(packed, bytes(n for _, n, _ in mine), array("I", [value for _, _, value in mine])))
    return Plan(1, tuple(tables), entries, tuple(str(at) for at in range(len(drawn))), (), ())


def expected_match(plan: Plan, tier: Tier, address: bytes, now: float) -> tuple[str, str] | None:
    """(prefix, rule id) of the most specific live row; the lowest value between equal prefixes."""
    table = plan.tables[tier]
    live = [
        (length, -value)
        for at, (length, value) in enumerate(zip(table.lengths, table.values, strict=True))
        if contains(table.networks[16 * at : 16 * at + 16], length, address)
        and (plan.entries[value].expires_at is None or now < plan.entries[value].expires_at)
    ]
    if not live:
        return None
    length, value = max(live)
    return render_network(mask(address, length), length), plan.rule_ids[plan.entries[-value].rule]


def probes(plan: Plan) -> list[bytes]:
    """The first and last address of every prefix, and their neighbours."""
    found = {FIRST, LAST, V4 + bytes(4), V4 + b"\xff" * 4}
    for table in plan.tables:
        for at, length in enumerate(table.lengths):
            first = int.from_bytes(table.networks[16 * at : 16 * at + 16])
            last = first | ((1 << (128 - length)) - 1)
            found |= {(n % (1 << 128)).to_bytes(16) for n in (first - 1, first, last, last + 1)}
    return sorted(found)


def check(core: NativeCore, plan: Plan, asked: list[bytes], times=(0.0, 10.0, 25.0)) -> None:
    for address in asked:
        for now in times:
            verdict, steps = core.trace(Request(address, Event.CONNECT, now))
            assert core.decide(Request(address, Event.CONNECT, now)) == verdict
            for step in steps:
                if step.tier in STEP_TIERS:
                    found = (step.matched, step.rule_id) if step.matched else None
                    assert found == expected_match(plan, STEP_TIERS[step.tier], address, now), (
                        step.tier,
                        address.hex(),
                        now,
                    )


@pytest.fixture
def core():
    made = NativeCore()
    yield made
    made.close()


@settings(max_examples=150, deadline=None)
@given(st.lists(rows, max_size=24), st.lists(addresses, max_size=8))
def test_every_tier_matches_as_a_linear_search_does(drawn, extra):
    plan = make_plan(drawn)
    core = NativeCore()
    try:
        core.publish(plan)
        check(core, plan, probes(plan) + extra)
    finally:
        core.close()


def test_thousands_of_nested_prefixes_in_any_order(core):
    chance = random.Random(7)
    drawn = []
    for _ in range(3000):
        address = (V4 + chance.randbytes(4)) if chance.random() < 0.5 else b"\x20\x01" + chance.randbytes(14)
        low, high = (96 + 4, 128) if is_ipv4(address) else (16, 128)
        drawn.append((address, chance.randint(low, high), chance.choice(PREFIX_TIERS), Action.REJECT, None))
    for address, length, tier, *_ in drawn[:1000]:  # some inside others
        drawn.append((address, min(128, length + chance.randint(0, 16)), tier, Action.ACCEPT, 10.0))
    plan = make_plan(drawn, shuffle=chance)
    core.publish(plan)
    check(core, plan, chance.sample(probes(plan), 300), times=(0.0, 10.0))


@pytest.mark.parametrize("names", [1, 40, 4000])
def test_prefixes_so_dense_that_the_index_holds_their_ranges(core, names):
    """Lines (``native/prefixes/lines.h``) that are full, some spilled ones, and addresses on both sides of them."""
    chance, drawn = random.Random(names), []
    for at in range(4000):
        low = chance.getrandbits(16) if at % 8 else 0x100 | chance.getrandbits(8)  # some in one /24: spilled
        tier = Tier.RULES if at % 8 else chance.choice(PREFIX_TIERS)
        length = chance.choice([122, 124, 126, 127, 128])
        drawn.append((V4 + b"\x0a\x01" + low.to_bytes(2), length, tier, Action.REJECT, None if at % 16 else 10.0))
    far = [
        V4 + bytes(four) for four in ((0, 0, 0, 0), (9, 9, 9, 9), (200, 0, 0, 1), (200, 0, 0, 2), (255, 255, 255, 255))
    ]
    drawn.append((far[2], 128, Tier.RULES, Action.ACCEPT, None))
    plan = make_plan(drawn)
    plan = replace(plan, entries=tuple(replace(entry, rule=entry.rule % names) for entry in plan.entries))
    core.publish(plan)
    check(core, plan, chance.sample(probes(plan), 100) + far, times=(0.0, 10.0))


class TestFamilies:
    def decide(self, core, drawn, address):
        core.publish(make_plan(drawn))
        return core.decide(Request(address, Event.CONNECT, 0.0)).action

    def test_default_route_of_ipv6_is_not_for_ipv4(self, core):
        drawn = [(FIRST, 0, Tier.RULES, Action.REJECT, None)]
        assert self.decide(core, drawn, V4 + b"\x01\x02\x03\x04") is Action.ACCEPT
        assert self.decide(core, drawn, b"\x20\x01" + bytes(14)) is Action.REJECT

    def test_prefix_of_95_bits_around_the_mapped_range_is_ipv6(self, core):
        drawn = [(mask(V4 + bytes(4), 95), 95, Tier.RULES, Action.REJECT, None)]
        assert self.decide(core, drawn, V4 + bytes(4)) is Action.ACCEPT
        assert self.decide(core, drawn, V4[:-1] + b"\xfe" + bytes(4)) is Action.REJECT


class TestRefusedPlans:
    """An inconsistent plan raises an error with its place, and the previous plan stays in force."""

    def publish_table(self, core, networks, lengths, values):
        empty = PrefixTable()
        tables = (empty, PrefixTable(networks, lengths, array("I", values)), *[empty] * 5)
        core.publish(Plan(2, tables, (Entry(Action.ACCEPT, Reason.RULE, NO_RULE),), (), (), ()))

    @pytest.mark.parametrize(
        ("networks", "lengths", "values", "message"),
        [
            (bytes(16), bytes([129]), [0], "row 0 of RULES: a prefix length above 128"),
            (bytes(16) + LAST, bytes([0, 8]), [0, 0], "row 1 of RULES: host bits"),
            (bytes(16), bytes([0]), [1], "row 0 of RULES: a value that points nowhere"),
            (bytes(15), bytes([0]), [0], "a table of 1 rows has 15 bytes and 1 values"),
            (bytes(16), bytes([0]), [], "a table of 1 rows has 16 bytes and 0 values"),
        ],
    )
    def test_names_the_row(self, core, networks, lengths, values, message):
        core.publish(make_plan([(LAST, 128, Tier.RULES, Action.REJECT, None)]))
        with pytest.raises(PlanError, match=message):
            self.publish_table(core, networks, lengths, values)
        assert core.decide(Request(LAST, Event.CONNECT, 0.0)).action is Action.REJECT
