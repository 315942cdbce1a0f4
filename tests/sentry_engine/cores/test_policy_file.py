# SPDX-License-Identifier: GPL-3.0-or-later
"""Policy files: a loaded policy decides as the saved one, and a damaged file is never put in force."""

from __future__ import annotations

import os
import random
import struct

import pytest

from sentry_engine.addresses import pack_address
from sentry_engine.cores.interface import Request
from sentry_engine.cores.native.core import NativeCore, lib
from sentry_engine.cores.plan import PlanError, Tier
from sentry_engine.cores.policy_file import HEAD
from sentry_engine.verdict import Action, Event, Verdict

CELLS, BENEATH = 9, 10  # sections
NONSENSE = int(os.environ.get("OCSENTRY_NONSENSE_FILES", "600"))
CHECKSUM_AT, SUMMED_FROM = HEAD.size + 24, HEAD.size + 32  # of struct se_snapshot


@pytest.fixture
def plan(words):
    return words.plan(
        tables={
            Tier.RULES: [("10.0.0.0/8", words.reject(1)), ("10.1.0.0/16", words.accept(2, expires_at=50.0))],
            Tier.FEEDS: [("2001:db8::/32", words.reject(3)), ("2001:db8::1:0/112", words.accept(4))],
            Tier.COUNTRY: [("192.0.2.0/24", words.inform(6))],
        },
        limits={"192.0.2.0/24": [words.limit(2, 10.0, 60.0, rule=5)], "::/0": [words.limit(20, 10.0)]},
    )


@pytest.fixture
def cores():
    made = [NativeCore(), NativeCore()]
    yield made
    for core in made:
        core.close()


@pytest.fixture
def saved(cores, plan, tmp_path):
    cores[0].publish(plan)
    path = tmp_path / "policy.prepared"
    cores[0].save(path)
    return path


def test_answers_as_the_policy_it_was_made_of(cores, saved, words):
    cores[1].load(saved)
    for address in ("10.1.2.3", "10.2.2.3", "11.0.0.1", "192.0.2.9", "2001:db8::1", "2001:db8::1:5", "2001:db9::"):
        for now in (0.0, 49.0, 50.0):
            request = words.ask(address, now)
            assert cores[0].trace(request) == cores[1].trace(request)
            assert cores[0].decide(request) == cores[1].decide(request)
    assert cores[1].rule_hits() == cores[0].rule_hits() != {}


def test_penalty_names_the_rule_of_the_loaded_policy(cores, saved, words):
    other = words.plan(limits={"0.0.0.0/0": [words.limit(1, 10.0, 60.0, rule=9)]})
    cores[1].publish(other)  # numbers the kept rule ids differently from the file
    cores[1].load(saved)
    for _ in range(3):
        cores[1].decide(words.ask("192.0.2.1"))
    assert [penalty.rule_id for penalty in cores[1].penalties(0.0)] == ["rule-5"]
    assert cores[1].decide(words.ask("192.0.2.1")).rule_id == "rule-5"


def test_damaged_file_leaves_the_policy_before_in_force(cores, saved, words):
    cores[1].publish(words.plan(tables={Tier.RULES: [("10.0.0.0/8", words.accept(7))]}))
    whole = saved.read_bytes()
    damage = random.Random(1)
    for at in [*range(HEAD.size), *damage.sample(range(HEAD.size, len(whole)), 300)]:
        saved.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << damage.randrange(8)]) + whole[at + 1 :])
        with pytest.raises(PlanError):
            cores[1].load(saved)
    for size in [*range(HEAD.size + 40), len(whole) // 2, len(whole) - 1]:
        saved.write_bytes(whole[:size])
        with pytest.raises(PlanError):
            cores[1].load(saved)
    saved.write_bytes(whole + b"\0")
    with pytest.raises(PlanError):
        cores[1].load(saved)
    assert cores[1].decide(words.ask("10.2.2.3")) == Verdict(Action.ACCEPT, words.accept(7).reason, "rule-7")


def sum_up(block, size):
    """Set the checksum of a changed block to the right one."""
    summed = bytes(block[SUMMED_FROM : HEAD.size + size])
    struct.pack_into("<Q", block, CHECKSUM_AT, lib.se_checksum(summed, len(summed)))


def ask_everything(core):
    addresses = ["10.1.2.3", "192.0.2.9", "2001:db8::1", "2001:db8::1:5", "ffff::", "0.0.0.0", "255.255.255.255"]
    packed = [pack_address(address) for address in addresses]
    packed += [pack_address(f"10.{8 + number % 8}.{number}.{number}") for number in range(256)]
    for address in packed[:7]:
        core.trace(Request(address, Event.CONNECT, 0.0))
        core.answer(address, Event.CONNECT, 0.0)
    return [(verdict.action, verdict.rule_id) for verdict in core.answer_many(packed, Event.CONNECT, 0.0)]


@pytest.fixture
def dense(cores, words, tmp_path):
    """A saved policy whose index holds its ranges, most of which name their rules; some slots are spilled."""
    chance = random.Random(5)
    rows = [
        (f"10.{8 + at % 8}.{chance.getrandbits(8)}.{chance.getrandbits(8)}/32", words.reject(at % 16))
        for at in range(900)
    ]
    rows += [(f"10.9.9.{at}/32", words.accept(at % 16)) for at in range(64)]
    rows += [(f"2001:db8::{at:x}/128", words.reject(at % 16)) for at in range(8)]
    tables = {Tier.RULES: rows, Tier.NEVER_BLOCK: [("192.0.2.0/24", words.accept(3))]}
    cores[0].publish(words.plan(tables=tables, limits={"10.8.0.0/14": [words.limit(9, 10.0)]}))
    path = tmp_path / "dense.prepared"
    cores[0].save(path)
    return path


@pytest.mark.parametrize("name", ["saved", "dense"])
def test_nonsense_with_a_right_checksum_is_refused_or_harmless(cores, request, name):
    """With any word of the block replaced, a policy that passes the checks decides by existing rules only."""
    path, chance = request.getfixturevalue(name), random.Random(2)
    whole = path.read_bytes()
    block_size = HEAD.unpack_from(whole)[3]
    refused = 0
    for _ in range(NONSENSE):
        block = bytearray(whole)
        at = SUMMED_FROM + 4 * chance.randrange((block_size - 32) // 4)
        word = struct.unpack_from("<I", block, at)[0]
        value = chance.choice([0, 1, 0xFFFF_FFFF, 0x8000_0000, 0x7FFF_FFFF, chance.getrandbits(32)])
        value = chance.choice([value, word ^ 1 << chance.randrange(32), word + 1 & 0xFFFF_FFFF])
        struct.pack_into("<I", block, at, value)
        sum_up(block, block_size)
        path.write_bytes(block)
        try:
            cores[1].load(path)
        except PlanError:
            refused += 1
            continue
        ask_everything(cores[1])
    assert refused > NONSENSE / 4


def read_section(block, number):
    """Offset in the file and count of a section of the snapshot, as ``struct se_snapshot`` lists them."""
    offset, count = struct.unpack_from("<QQ", block, HEAD.size + 112 + 16 * number)
    return HEAD.size + offset, count


def list_cells(block):
    """The number of each cell and its tiers, as bits."""
    offset, count = read_section(block, CELLS)
    words, at = struct.unpack_from(f"<{count}I", block, offset), 0
    while at < count:
        tiers = words[at] & 0xFF
        yield at, tiers
        at += 1 + tiers.bit_count() + (tiers.bit_count() > 3)


def test_rule_over_what_decides_before_it_is_refused(cores, dense):
    """Otherwise a decision by the rule alone and one that walks the tiers would differ."""
    whole = dense.read_bytes()
    block_size = HEAD.unpack_from(whole)[3]
    before, outcomes = 1 << Tier.NEVER_BLOCK | 1 << Tier.RULES, {}
    for cell, tiers in list_cells(whole):
        block = bytearray(whole)
        struct.pack_into("<I", block, read_section(block, BENEATH)[0], cell << 8 | 32)
        sum_up(block, block_size)
        dense.write_bytes(block)
        if tiers & before:
            with pytest.raises(PlanError, match="a rule above what decides before it"):
                cores[1].load(dense)
        else:
            cores[1].load(dense)
        outcomes[tiers] = tiers & before
    assert outcomes.keys() >= {0, 1 << Tier.NEVER_BLOCK, 1 << Tier.LIMITS, 1 << Tier.RULES}


def test_file_of_another_version_says_so(cores, saved):
    whole = bytearray(saved.read_bytes())
    struct.pack_into("<I", whole, HEAD.size + 8, 99)
    saved.write_bytes(whole)
    with pytest.raises(PlanError, match="another version: make it again"):
        cores[1].load(saved)


def test_nothing_to_save_before_the_first_policy(cores, tmp_path):
    with pytest.raises(RuntimeError, match="publish one first"):
        cores[0].save(tmp_path / "policy.prepared")
    assert list(tmp_path.iterdir()) == []


def test_failed_save_leaves_the_file_before(cores, plan, saved):
    cores[0].publish(plan)
    before = saved.read_bytes()
    with pytest.raises(OSError, match="No such file"):
        cores[0].save(saved.parent / "missing" / "policy.prepared")
    assert saved.read_bytes() == before
