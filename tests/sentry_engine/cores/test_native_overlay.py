# SPDX-License-Identifier: GPL-3.0-or-later
"""An overlay decides as the same plan compiled whole, and only the appended part is built."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from sentry_engine.addresses import pack_network
from sentry_engine.cores.interface import Request
from sentry_engine.cores.native_core import NativeCore
from sentry_engine.cores.plan import Entry, Plan, PlanError, PrefixTable, Tier
from sentry_engine.policy.compiler import append_blocks
from sentry_engine.prefixes import Origin, Prefixes
from sentry_engine.rules.model import PrefixRule
from sentry_engine.verdict import Action, Event, Reason

V4 = b"\x00" * 10 + b"\xff\xff"


@pytest.fixture
def cores():
    made = [NativeCore(), NativeCore()]
    yield made
    for core in made:
        core.close()


def draw_network(chance: random.Random) -> tuple[bytes, int]:
    if chance.random() < 0.5:
        return V4 + bytes([10, chance.randrange(3), chance.randrange(3), chance.randrange(3)]), chance.choice(
            [104, 112, 120, 128]
        )
    return b"\x20\x01" + bytes([chance.randrange(3) for _ in range(14)]), chance.choice([16, 32, 48, 64, 72, 128])


def append_rows(plan: Plan, rows: list[tuple[bytes, int, Entry]]) -> Plan:
    """``plan`` with RULES rows appended, each with its own entry and rule."""
    rules = plan.tables[Tier.RULES]
    table = PrefixTable(
        rules.networks + b"".join(network for network, _, _ in rows),
        rules.lengths + bytes(length for _, length, _ in rows),
        rules.values + type(rules.values)("I", range(len(plan.entries), len(plan.entries) + len(rows))),
    )
    first = len(plan.rule_ids)
    entries = tuple(replace(entry, rule=first + at) for at, (_, _, entry) in enumerate(rows))
    tables = tuple(table if tier is Tier.RULES else plan.tables[tier] for tier in Tier)
    names = (*plan.rule_ids, *(f"block-{at}" for at in range(len(rows))))
    return replace(plan, tables=tables, entries=(*plan.entries, *entries), rule_ids=names, base=plan)


@pytest.mark.parametrize("seed", range(12))
def test_both_pieces_answer_as_one(cores, words, seed):
    chance = random.Random(seed)

    def draw(count):
        for _ in range(count):
            network, length = draw_network(chance)
            action, expires = (
                chance.choice([Action.ACCEPT, Action.REJECT, None]),
                chance.choice([None, None, 10.0, 20.0]),
            )
            yield pack_masked(network, length), length, Entry(action, Reason.RULE, 0, expires)

    base = append_rows(words.plan(limits={"::/0": [words.limit()]}), list(draw(40)))
    plan = append_rows(replace(base, base=None), list(draw(40)))
    cores[0].publish(plan)
    cores[1].publish(replace(plan, base=None))
    for _ in range(200):
        address, now = draw_network(chance)[0], chance.choice([0.0, 10.0, 30.0])
        request = Request(address, Event.CONNECT, now)
        assert cores[0].trace(request) == cores[1].trace(request)
        assert cores[0].decide(request) == cores[1].decide(request)
    assert cores[0].rule_hits() == cores[1].rule_hits()


def pack_masked(network: bytes, length: int) -> bytes:
    keep = ((1 << length) - 1) << (128 - length)
    return (int.from_bytes(network) & keep).to_bytes(16)


def block(text: str, rule_id: str) -> PrefixRule:
    return PrefixRule(rule_id, Action.REJECT, Prefixes.of(text), Origin("API", ""))


def test_the_base_is_built_once(cores, words):
    base = words.plan(tables={Tier.RULES: [("10.0.0.0/8", words.reject(1))]})
    cores[0].publish(base)
    built = cores[0]._policies.in_force.base
    for turn in range(3):
        blocks = [block(f"192.0.2.{n}/32", f"api-{n}") for n in range(turn)]
        cores[0].publish(append_blocks(base, blocks, version=turn))
        assert cores[0]._policies.in_force.base is built
        assert [cores[0].decide(words.ask(f"192.0.2.{n}")).accepted for n in range(3)] == [n >= turn for n in range(3)]
        assert cores[0].decide(words.ask("10.0.0.1")).rule_id == "rule-1"
    cores[0].publish(replace(base, version=9))
    assert cores[0]._policies.in_force.base is not built
    assert cores[0]._policies.waiting == 0
    assert cores[0].rule_hits() == {"rule-1": 3, "api-0": 2, "api-1": 1}


def test_a_plan_that_changes_more_than_its_base_is_built_whole(cores, words):
    base = words.plan(tables={Tier.RULES: [("10.0.0.0/8", words.reject(1))]})
    cores[0].publish(base)
    more = append_blocks(base, [block("192.0.2.1/32", "api")], version=2)
    cores[0].publish(replace(more, default=Action.REJECT))
    assert not cores[0].decide(words.ask("198.51.100.1")).accepted
    assert cores[0].decide(words.ask("192.0.2.1")).rule_id == "api"


def test_a_plan_that_is_no_continuation_of_its_base_is_refused(cores, words):
    base = words.plan(tables={Tier.RULES: [("10.0.0.0/8", words.reject(1)), ("11.0.0.0/8", words.reject(1))]})
    cores[0].publish(base)
    shorter = replace(base, tables=tuple(PrefixTable() if tier is Tier.RULES else base.tables[tier] for tier in Tier))
    with pytest.raises(PlanError, match="shorter than the base"):
        cores[0].publish(replace(shorter, base=base))
    whole = append_rows(base, [(*pack_network("12.0.0.0/8"), words.reject(0))])
    table = whole.tables[Tier.RULES]
    astray = replace(table, values=type(table.values)("I", [0, 1, 0]))
    tables = tuple(astray if tier is Tier.RULES else whole.tables[tier] for tier in Tier)
    with pytest.raises(PlanError, match="an entry or a rule of its base"):
        cores[0].publish(replace(whole, tables=tables))
    assert not cores[0].decide(words.ask("11.0.0.1")).accepted
