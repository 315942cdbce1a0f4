# SPDX-License-Identifier: GPL-3.0-or-later
"""How an address may be written in a question: both cores read the same language, that of ``pack_address``."""

from __future__ import annotations

import gc
import ipaddress
import weakref
from array import array

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sentry_engine.addresses import AddressError, pack_address
from sentry_engine.cores.native_core import NativeCore, ffi, lib
from sentry_engine.cores.plan import Entry, Plan, PrefixTable, Tier
from sentry_engine.rules import prefix_columns
from sentry_engine.rules.prefix_columns import pack_in_c, pack_in_python, pack_networks
from sentry_engine.verdict import INVALID, Action, Event, Reason

SPELLINGS = (
    "192.0.2.1",
    "::ffff:192.0.2.1",
    "::ffff:c000:201",
    "0:0:0:0:0:FFFF:192.0.2.1",
    "::ffff:192.0.2.1%eth0",
    ipaddress.ip_address("192.0.2.1"),
    ipaddress.ip_address("::ffff:192.0.2.1"),
    pack_address("192.0.2.1"),
)
NO_ADDRESSES = (
    "",
    "192.0.2",
    "192.0.2.01",
    "1" * 10_000,
    "fe80::1%" + "x" * 100,
    "192.0.2.1\0",
    "\uff1192.0.2.1",
    "::\udc80",
)

# Texts near addresses: whole ones, and such with something put in, taken away or exchanged.
V4 = st.ip_addresses(v=4).map(str)
V6 = st.ip_addresses(v=6).map(str)
MIXED = st.builds(lambda a, b: f"{a.exploded[:29]}:{b}", st.ip_addresses(v=6), st.ip_addresses(v=4))
SPARSE = st.lists(st.sampled_from(["0", "1", "ffff", "0000", ""]), min_size=1, max_size=10).map(":".join)
PIECES = st.lists(st.sampled_from([*"0123456789abcfFgx:.% ", "::", "255", "256", "ffff", "12.0.0.1"]), max_size=14)


def read_in_c(text: str) -> bytes | None:
    data = text.encode()
    whole, address = ffi.new("char[]", len(data)), ffi.new("uint8_t[16]")
    ffi.memmove(whole, data, len(data))
    return bytes(address) if lib.se_address_parse(whole, len(data), address) else None


def read_in_python(text: str) -> bytes | None:
    try:
        return pack_address(text)
    except AddressError:
        return None


class TestText:
    @given(st.one_of(V4, V6, MIXED, SPARSE, PIECES.map("".join)))
    @example("1:2:3:4:5:6:7::")
    @example("1:2:3:4:5:6:7:8::")
    @example("::1:2:3:4:5:6:7:8")
    @example("1:2:3:4:5:6:7:1.2.3.4")
    @example("::1.2.3.4:5")
    @example("1::%")
    def test_c_reads_what_python_reads(self, text):
        assert read_in_c(text) == read_in_python(text)

    @given(st.one_of(V4, V6, MIXED), st.integers(0, 60), st.sampled_from([*"0:.%g9", "::", ""]))
    def test_one_change_of_an_address(self, text, at, put):
        for changed in (text[:at], text[:at] + put + text[at:], text[:at] + put + text[at + 1 :]):
            assert read_in_c(changed) == read_in_python(changed)

    @given(st.ip_addresses())
    def test_it_is_the_address_that_ipaddress_means(self, address):
        for text in (str(address), address.exploded, address.exploded.upper()):
            assert read_in_c(text) == pack_address(address)


def pack_one_by_one(texts: list[str]) -> tuple[bytes, bytes] | None:
    try:
        return pack_in_python(texts)
    except AddressError:
        return None


class TestPrefixColumns:
    LENGTHS = st.integers(0, 130).map("/{}".format) | st.sampled_from(
        ["", "/", "/08", "/+8", "/8 ", "/8/8", "/1e1", "\n"]
    )
    WHOLE = st.ip_addresses().map(ipaddress.ip_network).map(str) | st.builds(
        lambda address, cut: str(ipaddress.ip_network((address, address.max_prefixlen * cut // 8), strict=False)),
        st.ip_addresses(),
        st.integers(0, 8),
    )
    ODD = st.builds(str.__add__, st.one_of(V4, V6, SPARSE, st.sampled_from(["10.0.0.0", "::", "fe80::%eth0"])), LENGTHS)

    @given(st.lists(WHOLE | WHOLE | ODD, max_size=6))
    @example([])
    @example([""])
    @example(["10.0.0.0/8\n10.0.0.0/8"])
    @example(["10.0.0.0/8", "\n10.0.0.0/8", ""])
    @example(["::ffff:10.0.0.0/104", "::ffff:10.0.0.0/8", "0.0.0.0/0", "::/0"])
    @example(["10.0.0.1/31", "10.0.0.0/31"])
    @example(["\uff11.2.3.4"])
    def test_c_packs_what_python_packs(self, texts):
        assert pack_in_c(texts) == pack_one_by_one(texts)

    def test_without_the_core_the_rows_are_the_same(self, monkeypatch):
        texts = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]
        found = pack_networks(texts)
        monkeypatch.setattr(prefix_columns, "_core", None)
        assert pack_networks(texts) == found
        with pytest.raises(AddressError, match="host bits"):
            pack_networks([*texts, "10.0.0.1/8"])


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
        asked = ["x", *SPELLINGS, "192.0.2.2", "y"] * 40  # more than a batch
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
            assert [answer.rule_id for answer in answers] == list(core._policies.in_force.rule_ids)

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
