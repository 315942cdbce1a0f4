# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks: both cores decide alike after any changes, and the native table frees and reuses its rows."""

from __future__ import annotations

import random

import pytest

from sentry_engine.addresses import mask, pack_network, render_network
from sentry_engine.cores.interface import BlockedNetwork, Request
from sentry_engine.cores.native.core import NativeCore
from sentry_engine.cores.native.library import lib
from sentry_engine.cores.plan import Tier
from sentry_engine.verdict import Event

V4 = b"\x00" * 10 + b"\xff\xff"


def block(rule_id, text, end=None):
    return BlockedNetwork(rule_id, *pack_network(text), expires_at=end)


def deciding(core, words, address, now=0.0):
    return core.decide(words.ask(address, now=now)).rule_id


def test_the_most_specific_of_blocks_and_rules_decides(core, words):
    rules = [("10.0.0.0/16", words.accept(1)), ("10.0.0.0/24", words.reject(2)), ("2001:db8::/32", words.accept(3))]
    core.publish(words.plan(tables={Tier.RULES: rules}))
    core.put_blocks([block("wide", "10.0.0.0/8"), block("equal", "10.0.0.0/24"), block("host", "10.0.0.7/32")])
    core.put_blocks([block("six", "2001:db8:1::/48"), block("all six", "::/0")])
    found = {
        address: deciding(core, words, address)
        for address in ("10.1.0.1", "10.0.1.1", "10.0.0.1", "10.0.0.7", "2001:db8::1", "2001:db8:1::1", "2001::1")
    }
    assert found == {
        "10.1.0.1": "wide",
        "10.0.1.1": "rule-1",
        "10.0.0.1": "rule-2",  # of equal networks the rule
        "10.0.0.7": "host",
        "2001:db8::1": "rule-3",
        "2001:db8:1::1": "six",
        "2001::1": "all six",
    }
    assert deciding(core, words, "192.0.2.1") != "all six"  # ::/0 holds no IPv4
    verdict, steps = core.trace(words.ask("10.0.0.7"))
    (rules_step,) = (step for step in steps if step.tier == "rules")
    assert (rules_step.matched, rules_step.rule_id, rules_step.decisive) == ("10.0.0.7/32", "host", True)
    assert verdict.rule_id == "host"


def test_a_block_survives_a_policy_and_counts_its_hits(core, words):
    core.publish(words.plan())
    core.put_blocks([block("one", "192.0.2.1/32")])
    assert deciding(core, words, "192.0.2.1") == "one"
    core.publish(words.plan(tables={Tier.RULES: [("10.0.0.0/8", words.reject(1))]}))
    assert deciding(core, words, "192.0.2.1") == "one"
    assert core.rule_hits()["one"] == 2
    core.remove_blocks(["one", "unknown"])
    assert deciding(core, words, "192.0.2.1") is None
    assert "one" not in core.rule_hits()


def test_of_equal_blocks_the_latest_that_lives_answers(core, words):
    core.publish(words.plan())
    core.put_blocks([block("old", "192.0.2.0/24", 30.0), block("new", "192.0.2.0/24", 20.0)])
    assert [deciding(core, words, "192.0.2.1", now) for now in (0.0, 20.0, 30.0)] == ["new", "old", None]
    core.put_blocks([block("new", "192.0.2.0/24", 40.0)])  # prolonged
    assert [deciding(core, words, "192.0.2.1", now) for now in (30.0, 39.999999999, 40.0)] == ["new", "new", None]
    core.put_blocks([block("new", "198.51.100.0/24")])  # another network under the id
    assert deciding(core, words, "192.0.2.1", 30.0) is None
    assert deciding(core, words, "198.51.100.1", 1e6) == "new"


def draw_network(chance: random.Random) -> tuple[bytes, int]:
    if chance.random() < 0.5:
        address = V4 + bytes([10, chance.randrange(3), chance.randrange(3), chance.randrange(3)])
        return address, chance.choice([96, 104, 112, 120, 127, 128])
    address = b"\x20\x01" + bytes([chance.randrange(3) for _ in range(14)])
    return address, chance.choice([0, 1, 16, 32, 48, 63, 64, 65, 72, 127, 128])


@pytest.mark.parametrize("seed", range(12))
def test_both_cores_agree_after_any_changes(both_cores, words, seed):
    chance, cores = random.Random(seed), both_cores()
    rules = []
    for number in range(8):
        address, length = draw_network(chance)
        say = chance.choice([words.accept, words.reject])
        rules.append((address, length, say(number, expires_at=chance.choice([None, 15.0]))))
    for core in cores:
        core.publish(
            words.plan(tables={Tier.RULES: [(render(address, length), entry) for address, length, entry in rules]})
        )
    for _ in range(60):
        if chance.random() < 0.6:
            address, length = draw_network(chance)
            end = chance.choice([None, 10.0, 20.0])
            new = BlockedNetwork(f"block-{chance.randrange(20)}", mask(address, length), length, expires_at=end)
            for core in cores:
                core.put_blocks([new])
        else:
            gone = [f"block-{chance.randrange(20)}" for _ in range(2)]
            for core in cores:
                core.remove_blocks(gone)
        for _ in range(10):
            request = Request(draw_network(chance)[0], Event.CONNECT, chance.choice([0.0, 10.0, 15.0, 30.0]))
            assert cores[0].trace(request) == cores[1].trace(request)
            assert cores[0].decide(request) == cores[1].decide(request)
    assert cores[0].rule_hits() == cores[1].rule_hits()


def render(address: bytes, length: int) -> str:
    return render_network(mask(address, length), length)


def test_rows_are_used_again_and_every_name_stays_right(words):
    core = NativeCore()
    try:
        core.publish(words.plan())
        for turn in range(3 * lib.SE_BLOCK_LINGER):
            core.put_blocks([block(f"block-{turn}", "192.0.2.1/32")])
            if turn % 1000 == 0:
                assert deciding(core, words, "192.0.2.1") == f"block-{turn}"
            core.remove_blocks([f"block-{turn}"])
        assert deciding(core, words, "192.0.2.1") is None
        assert len(core._blocks.names) <= lib.SE_BLOCK_LINGER + 2
    finally:
        core.close()


def test_a_full_table_takes_no_part_of_a_change(words):
    core = NativeCore()
    try:
        core.publish(words.plan())
        rows = lib.SE_BLOCK_ROWS
        networks = [
            BlockedNetwork(f"{number}", V4 + (0x0A000000 + number).to_bytes(4), 128) for number in range(rows - 1)
        ]
        core.put_blocks(networks)
        assert deciding(core, words, "10.0.0.0") == "0"
        with pytest.raises(ValueError, match="room for 1 of 2 blocks"):
            core.put_blocks([block("a", "192.0.2.1/32"), block("b", "192.0.2.2/32")])
        assert deciding(core, words, "192.0.2.1") is None
        core.put_blocks([block("a", "192.0.2.1/32")])
        assert deciding(core, words, "192.0.2.1") == "a"
        core.remove_blocks([f"{number}" for number in range(rows - 1)])
        core.put_blocks([block("b", "192.0.2.2/32")])
        assert deciding(core, words, "192.0.2.2") == "b"
        assert deciding(core, words, "10.0.0.0") is None
    finally:
        core.close()
