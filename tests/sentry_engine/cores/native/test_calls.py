# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of requests in every spelling, and the verdicts that fast calls cache."""

from __future__ import annotations

import copy
import gc
import ipaddress
import pickle
import threading
import weakref
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, replace

import pytest

from sentry_engine.addresses import pack_address
from sentry_engine.cores.interface import BlockedNetwork
from sentry_engine.cores.native.core import NativeCore
from sentry_engine.cores.plan import Entry, Plan, PrefixTable, Tier
from sentry_engine.verdict import INVALID, Action, Event, Reason, Verdict
from tests.sentry_engine.address_texts import NO_ADDRESSES, SPELLINGS


class TestQuestions:
    @pytest.fixture
    def blocked(self, core, words):
        core.publish(words.plan(tables={Tier.RULES: [("192.0.2.1/32", words.reject(1))]}))
        return core

    def test_every_spelling_is_one_source(self, blocked):
        assert {blocked.answer(source, Event.CONNECT, 0.0).rule_id for source in SPELLINGS} == {"rule-1"}
        assert {v.rule_id for v in blocked.answer_many(SPELLINGS, Event.CONNECT, 0.0)} == {"rule-1"}
        assert blocked.answer("2001:db8::1", Event.CONNECT, 0.0).accepted

    def test_what_is_no_address_is_refused_and_not_counted(self, blocked):
        assert {blocked.answer(source, Event.CONNECT, 0.0) for source in NO_ADDRESSES} == {INVALID}
        assert set(blocked.answer_many(NO_ADDRESSES, Event.CONNECT, 0.0)) == {INVALID}
        assert blocked.counters().decisions == 0

    def test_each_has_its_place_beside_what_is_no_address(self, blocked):
        asked = ["x", *SPELLINGS, "192.0.2.2", "y"] * 40  # more than one batch
        expected = [blocked.answer(source, Event.CONNECT, 0.0) for source in asked]
        assert blocked.answer_many(asked, Event.CONNECT, 0.0) == expected
        assert blocked.answer_many([], Event.CONNECT, 0.0) == []

    def test_other_things_are_a_mistake_of_the_caller(self, blocked):
        for thing in (7, None, ipaddress.ip_network("192.0.2.0/24"), bytearray(16)):
            with pytest.raises(TypeError, match=type(thing).__name__):
                blocked.answer(thing, Event.CONNECT, 0.0)
            with pytest.raises(TypeError):
                blocked.answer_many(["192.0.2.1", thing], Event.CONNECT, 0.0)

    def test_an_address_of_the_callers_own_class(self, blocked):
        class Named(ipaddress.IPv4Address):
            pass

        assert blocked.answer(Named("192.0.2.1"), Event.CONNECT, 0.0).rule_id == "rule-1"
        assert blocked.answer(ipaddress.ip_interface("::ffff:c000:201/128"), Event.CONNECT, 0.0).rule_id == "rule-1"

    @pytest.mark.parametrize(
        "text",
        ["0.0.0.0", "255.255.255.255", "::", "::1", "ffff:" * 7 + "ffff", "ffff:" * 4 + ":", "::" + "ffff:" * 3 + "0"],
    )
    def test_an_object_is_the_address_of_its_text(self, core, words, text):
        address = ipaddress.ip_address(text)
        core.publish(words.plan(tables={Tier.RULES: [(f"{text}/{address.max_prefixlen}", words.reject(1))]}))
        assert core.answer(address, Event.CONNECT, 0.0).rule_id == "rule-1"
        assert core.answer_many([address, text], Event.CONNECT, 0.0) == [core.answer(text, Event.CONNECT, 0.0)] * 2

    def test_waits_come_with_the_answers(self, core, words):
        core.publish(words.plan(limits={"0.0.0.0/0": [words.limit(1, 10.0)]}))
        one, two, three = core.answer_many(["192.0.2.1", "192.0.2.2", "192.0.2.1"], Event.CONNECT, 5.0)
        assert (one.retry_after, two.retry_after, three.retry_after) == (None, None, 10.0)
        assert core.answer("192.0.2.1", Event.CONNECT, 9.0).retry_after == 6.0


class TestHits:
    """A verdict of ``answer`` is counted by the call after it, which no reader of the hits can tell."""

    RULES = ("192.0.2.1", "192.0.2.2")

    @pytest.fixture
    def core(self, core, words):
        core.publish(self.make_plan(words))
        return core

    def make_plan(self, words):
        return words.plan(
            tables={Tier.RULES: [(f"{text}/32", words.reject(at + 1)) for at, text in enumerate(self.RULES)]}
        )

    def test_are_complete_after_every_answer(self, core):
        asked: Counter[str] = Counter()
        for text, rule_id in [*zip(self.RULES, ("rule-1", "rule-2"), strict=True)] * 3:
            core.answer(text, Event.CONNECT, 0.0)
            core.answer("198.51.100.1", Event.CONNECT, 0.0)
            asked[rule_id] += 1
            assert core.rule_hits() == asked
        assert core.rule_hits() == core.rule_hits() == {"rule-1": 3, "rule-2": 3}

    def test_are_those_of_the_rule_that_decided_before_a_swap(self, core, words):
        core.answer("192.0.2.2", Event.CONNECT, 0.0)
        other = words.plan(tables={Tier.RULES: [("192.0.2.0/24", words.reject(9))]})
        for _ in range(5):
            core.publish(other)
        assert core.rule_hits() == {"rule-2": 1}
        core.answer("192.0.2.2", Event.CONNECT, 0.0)
        assert core.rule_hits() == {"rule-2": 1, "rule-9": 1}

    def test_none_is_lost_while_policies_change(self, core, words):
        plans, done, rounds = (self.make_plan(words), self.make_plan(words)), threading.Event(), 3_000

        def swap() -> None:
            while not done.is_set():
                for plan in plans:
                    core.publish(plan)
                core.rule_hits()

        swapper = threading.Thread(target=swap)
        swapper.start()
        for at in range(rounds):
            core.answer(self.RULES[at % 2], Event.CONNECT, 0.0)
        done.set()
        swapper.join()
        assert core.rule_hits() == {"rule-1": rounds // 2, "rule-2": rounds // 2}


class TestKeptVerdicts:
    @pytest.fixture
    def core(self):
        core = NativeCore()
        yield core
        core.close()

    @pytest.mark.parametrize(("event", "now"), [("connect", 0.0), (1 << 80, 0.0), (Event.CONNECT, "now")])
    def test_the_first_mistake_is_told_and_nothing_is_asked_after_it(self, core, words, event, now):
        core.publish(words.plan())

        class Unasked:
            def __bool__(self):
                raise AssertionError

        with pytest.raises((TypeError, OverflowError)):
            core.answer("192.0.2.1", event, now, Unasked())

    def test_equal_answers_are_one_object_until_the_policy_changes(self, core, words):
        core.publish(words.plan())
        first = core.answer("192.0.2.1", Event.CONNECT, 0.0)
        assert core.answer("192.0.2.2", Event.CONNECT, 0.0) is first
        core.publish(words.plan(tables={Tier.RULES: [("0.0.0.0/0", words.reject(3))]}))
        assert core.answer("192.0.2.1", Event.CONNECT, 0.0).rule_id == "rule-3"

    def test_more_rules_than_are_kept(self, core):
        count = 10_000
        table = PrefixTable(
            b"".join(pack_address(ipaddress.IPv4Address(n)) for n in range(count)),
            b"\x80" * count,
            array("I", range(count)),
        )
        entries = tuple(Entry(Action.REJECT, Reason.RULE, n) for n in range(count))
        tables = tuple(table if tier is Tier.RULES else PrefixTable() for tier in Tier)
        core.publish(Plan(1, tables, entries, tuple(map(str, range(count))), (), ()))
        sources = [ipaddress.IPv4Address(n) for n in range(count)]
        for _ in range(2):
            answers = core.answer_many(sources, Event.CONNECT, 0.0)
            assert [answer.rule_id for answer in answers] == list(core._policies.in_force.described.rule_ids)

    def test_a_verdict_is_like_one_that_python_makes(self, core, words):
        core.publish(
            words.plan(
                tables={Tier.RULES: [("192.0.2.1/32", words.reject(3))]},
                limits={"198.51.100.0/24": [words.limit(1, 10.0)]},
            )
        )
        refused = core.answer("192.0.2.1", Event.CONNECT, 0.0)
        same = Verdict(Action.REJECT, Reason.RULE, "rule-3")
        assert (refused, hash(refused), repr(refused)) == (same, hash(same), repr(same))
        assert core.answer("203.0.113.1", Event.CONNECT, 0.0).rule_id is None
        core.answer("198.51.100.1", Event.CONNECT, 0.0)
        assert core.answer("198.51.100.1", Event.CONNECT, 4.0).retry_after == 6.0
        with pytest.raises(FrozenInstanceError):
            refused.rule_id = "another"

    def test_names_of_a_policy_file_and_of_the_policy_after_it(self, core, words, tmp_path):
        tables = {Tier.RULES: [("192.0.2.1/32", words.reject(3)), ("192.0.2.2/32", words.reject(1))]}
        core.publish(words.plan(tables=tables))
        core.save(tmp_path / "policy")
        core.load(tmp_path / "policy")
        sources = ["192.0.2.1", "192.0.2.2"]
        assert [core.answer(one, Event.CONNECT, 0.0).rule_id for one in sources] == ["rule-3", "rule-1"]
        core.publish(words.plan(tables={Tier.RULES: [("192.0.2.0/24", words.reject(2))]}))
        assert [one.rule_id for one in core.answer_many(sources, Event.CONNECT, 0.0)] == ["rule-2", "rule-2"]

    def test_names_that_fail_fail_the_one_who_reads_them(self, core, words):
        class Failing(Sequence):
            def __len__(self):
                return 9

            def __getitem__(self, index):
                raise OSError("of the names")

        core.publish(words.plan(tables={Tier.RULES: [("192.0.2.1/32", words.reject(3))]}))
        generation, _ = core._policies.latest_names
        core._fast_calls.use_names(generation, Failing())
        verdict = core.answer("192.0.2.1", Event.CONNECT, 0.0)
        assert (verdict.action, verdict.reason) == (Action.REJECT, Reason.RULE)
        for _ in range(2):
            with pytest.raises(OSError, match="of the names"):
                _ = verdict.rule_id

    def test_a_name_is_looked_up_once_and_by_the_policy_of_the_answer(self, core, words):
        class Counted(tuple):
            __slots__ = ()
            asked = 0

            def __getitem__(self, index):
                Counted.asked += 1
                return super().__getitem__(index)

        core.publish(words.plan(tables={Tier.RULES: [("192.0.2.1/32", words.reject(3))]}))
        generation, names = core._policies.latest_names
        core._fast_calls.use_names(generation, Counted(names))
        one, many = core.answer("192.0.2.1", Event.CONNECT, 0.0), core.answer_many(["192.0.2.1"], Event.CONNECT, 0.0)
        assert Counted.asked == 0
        core.publish(words.plan(tables={Tier.RULES: [("192.0.2.1/32", words.reject(2))]}))
        assert (one.rule_id, one.rule_id, Counted.asked) == ("rule-3", "rule-3", 1)
        assert (many[0].rule_id, many[0].rule_id, Counted.asked) == ("rule-3", "rule-3", 2)
        assert core.answer("192.0.2.1", Event.CONNECT, 0.0).rule_id == "rule-2"

    def test_a_block_that_is_removed_stays_the_reason_of_an_answer(self, core, words):
        core.publish(words.plan())
        network = pack_address("192.0.2.1")
        core.put_blocks([BlockedNetwork("block:1", network, 128)])
        answers = core.answer_many(["192.0.2.1"], Event.CONNECT, 0.0)
        core.remove_blocks(["block:1"])
        core.put_blocks([BlockedNetwork("block:2", network, 128)])
        assert answers[0].rule_id == "block:1"

    def test_a_verdict_that_was_read_keeps_no_names(self, core, words):
        class Names(list):
            pass

        core.publish(words.plan(tables={Tier.RULES: [("192.0.2.1/32", words.reject(3))]}))
        generation, names = core._policies.latest_names
        held = Names(names)
        gone = weakref.ref(held)
        core._fast_calls.use_names(generation, held)
        verdict = core.answer("192.0.2.1", Event.CONNECT, 0.0)
        del held
        core.publish(words.plan())
        assert gone() is not None
        assert verdict.rule_id == "rule-3"
        assert gone() is None

    def test_a_lazy_verdict_copies_as_any(self, core, words):
        core.publish(words.plan(tables={Tier.RULES: [("192.0.2.1/32", words.reject(3))]}))
        for make in (copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one)), replace):
            made = make(core.answer_many(["192.0.2.1"], Event.CONNECT, 0.0)[0])
            assert made == Verdict(Action.REJECT, Reason.RULE, "rule-3")
        with pytest.raises(AttributeError, match="no_field"):
            _ = core.answer("192.0.2.1", Event.CONNECT, 0.0).no_field

    def test_an_abandoned_core_is_collected(self, words):
        core = NativeCore()
        core.publish(words.plan())
        core.answer("192.0.2.1", Event.CONNECT, 0.0)
        gone = weakref.ref(core)
        core.close()
        del core
        gc.collect()
        assert gone() is None

    def test_closing_while_an_address_is_read(self, core, words):
        core.publish(words.plan())

        class Spiteful(ipaddress.IPv4Address):
            def __int__(self):
                core.close()
                return super().__int__()

        with pytest.raises(RuntimeError, match="closed"):
            core.answer_many([Spiteful("192.0.2.1")], Event.CONNECT, 0.0)


class TestVerdicts:
    @pytest.fixture
    def core(self):
        core = NativeCore()
        yield core
        core.close()

    @pytest.fixture
    def answers(self, core, words):
        tables = {Tier.RULES: [(f"192.0.2.{at}/32", words.reject(at)) for at in range(4)]}
        core.publish(words.plan(tables=tables))
        return core.answer_many([*(f"192.0.2.{at}" for at in range(4)), "x"], Event.CONNECT, 0.0)

    def test_it_is_a_sequence(self, answers):
        ids = [f"rule-{at}" for at in range(4)] + [None]
        assert isinstance(answers, Sequence)
        match answers:
            case [first, *_, last]:
                assert (first.rule_id, last) == ("rule-0", INVALID)
            case _:
                pytest.fail("it matches no pattern of a sequence")
        assert [one.rule_id for one in answers] == ids
        assert (len(answers), answers[-1], answers[True].rule_id) == (5, INVALID, "rule-1")
        assert [one.rule_id for one in answers[3:0:-2]] == ["rule-3", "rule-1"]
        assert [one.rule_id for one in reversed(answers)] == ids[::-1]
        assert answers[2] is answers[2]
        assert (answers.index(INVALID), answers.count(INVALID), INVALID in answers) == (4, 1, True)

    def test_it_equals_a_list_of_the_same(self, answers, core):
        again = core.answer_many([*(f"192.0.2.{at}" for at in range(4)), "x"], Event.CONNECT, 0.0)
        assert answers == again == list(answers)
        assert answers != again[:-1]
        assert answers != tuple(again)
        assert repr(answers[:1]) in repr(core.answer_many(["192.0.2.0"], Event.CONNECT, 0.0))
        with pytest.raises(TypeError):
            hash(answers)

    @pytest.mark.parametrize("at", [5, -6, 1 << 80])
    def test_there_is_nothing_beyond_its_ends(self, answers, at):
        with pytest.raises(IndexError):
            _ = answers[at]

    def test_it_cannot_be_changed_or_made(self, answers):
        with pytest.raises(TypeError):
            answers[0] = INVALID
        with pytest.raises(TypeError):
            type(answers)()
        with pytest.raises(TypeError):
            answers["0"]
        with pytest.raises(ValueError, match="not in"):
            answers.index(None)

    def test_it_outlives_its_core(self, words):
        core = NativeCore()
        core.publish(words.plan(tables={Tier.RULES: [("192.0.2.1/32", words.reject(3))]}))
        answers = core.answer_many(["192.0.2.1", "192.0.2.2"], Event.CONNECT, 0.0)
        core.close()
        assert [one.rule_id for one in answers] == ["rule-3", None]
