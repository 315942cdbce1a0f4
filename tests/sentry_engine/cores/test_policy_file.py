# SPDX-License-Identifier: GPL-3.0-or-later
"""Policy files: a loaded policy decides as the saved one, and a damaged file is never put in force."""

from __future__ import annotations

import random
import struct

import pytest

from sentry_engine.addresses import pack_address
from sentry_engine.cores.interface import Request
from sentry_engine.cores.native.core import NativeCore, lib
from sentry_engine.cores.plan import PlanError, Tier
from sentry_engine.cores.policy_file import HEAD
from sentry_engine.verdict import Action, Event, Verdict

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


def test_nonsense_with_a_right_checksum_is_refused_or_harmless(cores, saved):
    """With any word of the block replaced, a policy that passes the checks decides by existing rules only."""
    whole, chance = saved.read_bytes(), random.Random(2)
    block_size = HEAD.unpack_from(whole)[3]
    refused = 0
    for _ in range(600):
        block = bytearray(whole)
        at = SUMMED_FROM + 4 * chance.randrange((block_size - 32) // 4)
        value = chance.choice([0, 1, 0xFFFF_FFFF, 0x8000_0000, 0x7FFF_FFFF, chance.getrandbits(32)])
        struct.pack_into("<I", block, at, value)
        summed = bytes(block[SUMMED_FROM : HEAD.size + block_size])
        struct.pack_into("<Q", block, CHECKSUM_AT, lib.se_checksum(summed, len(summed)))
        saved.write_bytes(block)
        try:
            cores[1].load(saved)
        except PlanError:
            refused += 1
            continue
        for address in ("10.1.2.3", "192.0.2.9", "2001:db8::1", "2001:db8::1:5", "ffff::"):
            cores[1].trace(Request(pack_address(address), Event.CONNECT, 0.0))
            cores[1].answer(pack_address(address), Event.CONNECT, 0.0)
    assert refused > 200


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
