# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way to ask the native core gives the reference core's verdicts, on tables whose ranges name their rules."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import cffi
import pytest

from sentry_engine.addresses import mask, pack_address, render_network
from sentry_engine.cores.interface import BlockedNetwork, Request
from sentry_engine.cores.native.core import NativeCore
from sentry_engine.cores.plan import Entry, Plan, Tier
from sentry_engine.cores.reference.core import ReferenceCore
from sentry_engine.native import cffi_headers
from sentry_engine.verdict import ACTIONS, REASONS, Action, Event, Reason

GATE = cffi_headers.declarations([Path(__file__).parents[4] / "sentry_engine/native/gate.h"])
PLANS = int(os.environ.get("OCSENTRY_PATH_PLANS", "6"))
SIZES = (1, 15, 16, 17, 255, 257)  # of a batch, around what the core looks up at once and answers by one policy
NAMED = 2  # SE_SOURCE_NAMED
SECOND = 10**9

Batch = tuple[int, float, bool, list[bytes]]  # event, now, verified, addresses


class Plans:
    """Random policies in one corner of each family, and what is asked of them."""

    def __init__(self, seed: int, words: Any) -> None:
        self.chance = random.Random(seed)
        self.words = words
        self.names = self.chance.choice([3, 40, 900])

    def address(self) -> bytes:
        kind = self.chance.random()
        if kind < 0.7:
            return pack_address(f"10.1.{self.chance.getrandbits(3)}.{self.chance.getrandbits(8)}")
        if kind < 0.9:
            low = self.chance.getrandbits(4)
            return pack_address(f"2001:db8:0:{self.chance.getrandbits(3):x}::{low:x}")
        return pack_address(self.chance.choice(["0.0.0.0", "9.9.9.9", "255.255.255.255", "::", "::1", "ff02::1"]))

    def prefix(self) -> tuple[bytes, int]:
        address = self.address()
        is_short = self.chance.random() < 0.02
        lengths = [0, 64, 95, 96, 97, 104] if is_short else [120, 124, 126, 127, 128, 128]
        length = self.chance.choice(lengths)
        if length < 96 and address.startswith(bytes(10) + b"\xff\xff"):
            length = 96
        return mask(address, length), length

    def entry(self, tier: Tier) -> Entry:
        action = self.chance.choice([Action.ACCEPT, Action.REJECT])
        reason = Reason.RULE if tier in (Tier.NEVER_BLOCK, Tier.RULES) else Reason.FEED
        if tier is Tier.COUNTRY and self.chance.random() < 0.3:
            action = None
        if self.chance.random() < 0.03:
            reason = Reason.COUNTRY
        end = self.chance.choice([5.0, 12.0]) if self.chance.random() < 0.1 else None
        return Entry(action, reason, self.chance.randrange(self.names), end)

    def plan(self) -> Plan:
        tables: dict[Tier, list[tuple[str, Entry]]] = {}
        others = [Tier.NEVER_BLOCK, Tier.FEEDS, Tier.COUNTRY, Tier.ASN, Tier.ANONYMIZER]
        for _ in range(self.chance.choice([60, 900])):
            tier = Tier.RULES if self.chance.random() < 0.85 else self.chance.choice(others)
            tables.setdefault(tier, []).append((self.render(), self.entry(tier)))
        limits = {
            self.render(): [self.words.limit(self.chance.randint(1, 3), 20.0, self.chance.choice([0.0, 4.0]), rule=2)]
            for _ in range(self.chance.choice([0, 20]))
        }
        if self.chance.random() < 0.5:
            limits["0.0.0.0/0"] = [self.words.limit(2, 20.0, 2.0, rule=1)]
        return replace(
            self.words.plan(
                tables=tables,
                limits=limits,
                default=self.chance.choice([Action.ACCEPT, Action.REJECT]),
                on_missing=self.chance.choice([None, Action.ACCEPT, Action.REJECT]),
                event_labels=("portal",),
            ),
            rule_ids=tuple(f"rule-{number}" for number in range(self.names)),
        )

    def render(self) -> str:
        return render_network(*self.prefix())

    def blocks(self) -> list[BlockedNetwork]:
        made = []
        for number in range(self.chance.choice([0, 1, 30])):
            network, length = self.prefix()
            made.append(
                BlockedNetwork(f"block-{number}", network, length, expires_at=self.chance.choice([None, None, 9.0]))
            )
        return made

    def batches(self, start: float) -> list[Batch]:
        events = [Event.CONNECT, Event.CONNECT, Event.AUTH_FAILURE, 16, 17]
        return [
            (self.chance.choice(events), start + at, self.chance.random() < 0.8, [self.address() for _ in range(size)])
            for at, size in enumerate(self.chance.sample(SIZES, 4))
        ]


def ask_gate(core: NativeCore, batch: Batch, many: int, kind: int | None = None) -> list[tuple[Any, ...]]:
    """(action, reason, rule id) of each address, asked of the table of functions that C callers have."""
    ffi = cffi.FFI()
    ffi.cdef(GATE)
    table = ffi.cast("struct se_gate *", core.gate_address)
    event, now, verified, addresses = batch
    names = core._policies.in_force.described.rule_ids
    answers = []
    for first in range(0, len(addresses), many):
        some = addresses[first : first + many]
        requests, verdicts = ffi.new("struct se_request[]", len(some)), ffi.new("struct se_verdict[]", len(some))
        for request, address in zip(requests, some, strict=True):
            request.address, request.event, request.now = address, event, int(now * SECOND)
            request.verified = int(verified) if kind is None else kind
        if many == 1:
            table.decide(table.engine, requests, verdicts)
        else:
            table.decide_many(table.engine, requests, verdicts, len(some))
        answers += [(ACTIONS[v.action], REASONS[v.reason], core._name(v.rule, names)) for v in verdicts]
    return answers


def shorten(verdicts: Any) -> list[tuple[Any, ...]]:
    return [(verdict.action, verdict.reason, verdict.rule_id) for verdict in verdicts]


def ask_one_by_one(core: Any, batch: Batch) -> list[Any]:
    event, now, verified, addresses = batch
    return [core.decide(Request(address, event, now, verified=verified)) for address in addresses]


def ask_list(core: NativeCore, batch: Batch) -> list[Any]:
    event, now, verified, addresses = batch
    return list(core.answer_many(addresses, event, now, verified=verified))


WAYS = {
    "one": lambda core, batch: shorten(ask_one_by_one(core, batch)),
    "recorded": lambda core, batch: shorten(ask_one_by_one(core, batch)),
    "partly recorded": lambda core, batch: shorten(ask_list(core, batch)),
    "list": lambda core, batch: shorten(ask_list(core, batch)),
    "gate": lambda core, batch: ask_gate(core, batch, 1),
    "gate, many": lambda core, batch: ask_gate(core, batch, 300),
    "gate, some": lambda core, batch: ask_gate(core, batch, 17),
    "from a file": lambda core, batch: shorten(ask_list(core, batch)),
}
RECORDED = {"recorded": 1, "partly recorded": 3}  # one in so many decisions


@pytest.fixture
def ways():
    made = {way: NativeCore() for way in WAYS}
    for way, every in RECORDED.items():
        made[way].watch(every)
    yield made
    for core in made.values():
        core.close()


def publish(core: NativeCore, way: str, plan: Plan, folder: Path) -> None:
    if way != "from a file":
        core.publish(plan)
        return
    maker = NativeCore()
    maker.publish(plan)
    maker.save(folder / "policy.prepared")
    maker.close()
    core.load(folder / "policy.prepared")


@pytest.mark.parametrize("seed", range(PLANS))
def test_every_way_to_ask_gives_the_same_verdicts_and_hits(ways, words, tmp_path, seed):
    plans, reference = Plans(seed, words), ReferenceCore()
    for start in (0.0, 8.0):
        plan, blocks = plans.plan(), plans.blocks()
        reference.publish(plan)
        reference.put_blocks(blocks)
        for way, core in ways.items():
            publish(core, way, plan, tmp_path)
            core.put_blocks(blocks)
        for batch in plans.batches(start):
            expected = shorten(ask_one_by_one(reference, batch))
            for way, core in ways.items():
                assert WAYS[way](core, batch) == expected, way
            for address in batch[3][:12]:
                request = Request(address, Event.CONNECT, batch[1])
                trace = reference.trace(request)
                assert all(core.trace(request) == trace for core in ways.values())
        hits = reference.rule_hits()
        assert [way for way, core in ways.items() if core.rule_hits() != hits] == []
        for core in (reference, *ways.values()):
            core.remove_blocks([block.rule_id for block in blocks[::2]])


@pytest.mark.parametrize("seed", range(PLANS))
def test_named_sources_are_decided_as_without_limits(words, seed):
    """A source that names a session: rules, blocks and penalties concern it, limits do not."""
    plans, reference, core = Plans(1000 + seed, words), ReferenceCore(), NativeCore()
    plan, blocks = plans.plan(), plans.blocks()
    none = replace(plan, limits=(), limit_sets=(), tables=(*plan.tables[:-1], words.plan().tables[-1]))
    reference.publish(none)
    core.publish(plan)
    for one in (reference, core):
        one.put_blocks(blocks)
        one.penalize(pack_address("10.1.0.0"), 120, 60.0, Reason.PASSWORD_SPRAY, None)
    for batch in plans.batches(0.0):
        expected = shorten(ask_one_by_one(reference, batch))
        assert ask_gate(core, batch, 1, NAMED) == ask_gate(core, batch, 300, NAMED) == expected
    core.close()
