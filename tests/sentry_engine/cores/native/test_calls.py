# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of requests in every spelling, and the verdicts that fast calls cache."""

from __future__ import annotations

import gc
import ipaddress
import weakref
from array import array
from collections.abc import Sequence
from dataclasses import FrozenInstanceError

import pytest

from sentry_engine.addresses import pack_address
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

    def test_names_that_fail_fail_the_call(self, core, words):
        class Failing(Sequence):
            def __len__(self):
                return 9

            def __getitem__(self, index):
                raise OSError("of the names")

        core.publish(words.plan(tables={Tier.RULES: [("192.0.2.1/32", words.reject(3))]}))
        generation, _ = core._policies.latest_names
        core._fast_calls.use_names(generation, Failing())
        with pytest.raises(OSError, match="of the names"):
            core.answer("192.0.2.1", Event.CONNECT, 0.0)

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
