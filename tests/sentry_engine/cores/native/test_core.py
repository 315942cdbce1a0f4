# SPDX-License-Identifier: GPL-3.0-or-later
"""The native core alone: its gate, concurrent threads, swaps under load, bounded tables."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cffi
import pytest

from sentry_engine.addresses import pack_address, pack_network
from sentry_engine.cores.interface import Request
from sentry_engine.cores.native.core import RULE_KEPT, NativeCore, lib
from sentry_engine.cores.plan import Aggregation, Payback, PlanError, Tier
from sentry_engine.native import cffi_headers
from sentry_engine.verdict import NO_RULE, Action, Event, Reason, Verdict, read_word

GATE = cffi_headers.declarations([Path(__file__).parents[4] / "sentry_engine/native/gate.h"])
THREADS = 8
SPOOFED = int(os.environ.get("OCSENTRY_SPOOFED_SOURCES", "200000"))  # ten million for a release


@pytest.fixture
def core():
    made = NativeCore()
    yield made
    made.close()


@pytest.fixture
def gate(core):
    """The gate as a C caller sees it: an address and the header."""
    ffi = cffi.FFI()
    ffi.cdef(GATE)
    return ffi, ffi.cast("struct se_gate *", core.gate_address)


def name_rule(core, rule):
    """The id of the rule that ``se_verdict.rule`` of the gate means."""
    return core._name(rule, core._policies.in_force.described.rule_ids)


class TestGate:
    def ask(self, gate, address="192.0.2.1", event=Event.CONNECT, now=0, verified=1):
        ffi, table = gate
        request, verdict = ffi.new("struct se_request *"), ffi.new("struct se_verdict *")
        request.address = pack_address(address)
        request.event, request.now, request.verified = event, now, verified
        table.decide(table.engine, request, verdict)
        return verdict

    def test_describes_itself(self, gate):
        ffi, table = gate
        assert table.abi == 1
        assert table.request_size == ffi.sizeof("struct se_request")
        assert table.verdict_size == ffi.sizeof("struct se_verdict")

    def test_refuses_before_the_first_policy(self, gate):
        verdict = self.ask(gate)
        assert (verdict.action, verdict.rule) == (1, NO_RULE)
        assert verdict.reason == list(Reason).index(Reason.INVALID_REQUEST)

    def test_answers_as_python_does(self, core, gate, words):
        core.publish(words.plan(limits={"0.0.0.0/0": [words.limit(2, 10.0, 60.0, rule=5)]}))
        answers = [self.ask(gate, now=10**9) for _ in range(3)]
        assert [a.action for a in answers] == [0, 0, 2]
        assert answers[2].retry_after == 60 * 10**9
        assert name_rule(core, answers[2].rule) == "rule-5"
        refused = self.ask(gate, now=2 * 10**9)
        assert refused.rule & RULE_KEPT
        assert name_rule(core, refused.rule) == "rule-5"
        assert core.decide(words.ask("192.0.2.1", 2.0)) == Verdict(Action.RATE_LIMITED, Reason.PENALTY, "rule-5", 59.0)

    def test_answers_many_in_their_order(self, core, gate, words):
        core.publish(words.plan(tables={Tier.RULES: [("10.0.0.0/8", words.reject(1))]}))
        ffi, table = gate
        requests, verdicts = ffi.new("struct se_request[]", 600), ffi.new("struct se_verdict[]", 600)
        for at, request in enumerate(requests):
            request.address = pack_address("10.1.1.1" if at % 3 else "11.1.1.1")
        table.decide_many(table.engine, requests, verdicts, 600)
        assert [v.action for v in verdicts] == [int(at % 3 > 0) for at in range(600)]

    def test_name_of_a_penalty_outlives_its_plan(self, core, gate, words):
        core.publish(words.plan(limits={"0.0.0.0/0": [words.limit(1, 10.0, 60.0, rule=5)]}))
        self.ask(gate), self.ask(gate)
        core.publish(words.plan())
        assert name_rule(core, self.ask(gate, now=1).rule) == "rule-5"


class TestThreads:
    """Concurrent threads get exact counts and one policy per answer. ``answer_words`` releases the GIL."""

    def run(self, work):
        start = threading.Barrier(THREADS)

        def started(number):
            start.wait()
            return work(number)

        with ThreadPoolExecutor(THREADS) as pool:
            return [f.result() for f in [pool.submit(started, number) for number in range(THREADS)]]

    @pytest.mark.parametrize("max_events", [12, 13, 1000])
    @pytest.mark.parametrize("penalty", [0.0, 60.0])
    def test_exactly_so_many_pass(self, core, words, max_events, penalty):
        core.publish(words.plan(limits={"0.0.0.0/0": [words.limit(max_events, 10.0, penalty)]}))
        crowd = pack_address("192.0.2.9") * 4096
        answers = self.run(lambda _: core.answer_words(crowd, Event.CONNECT, 5.0))
        assert sum(read_word(word)[0] is Action.ACCEPT for part in answers for word in part) == max_events
        assert core.counters().decisions == THREADS * 4096
        assert len(core.penalties(5.0)) == (penalty > 0)

    def test_a_swap_is_seen_whole(self, core, words):
        """Two policies with no verdict in common reveal an answer that mixes them."""
        plans = [
            words.plan(tables={Tier.RULES: [("192.0.2.0/24", words.reject(1))]}, version=1),
            words.plan(
                tables={Tier.RULES: [("192.0.0.0/16", words.accept(2)), ("192.0.2.0/28", words.reject(3))]}, version=2
            ),
        ]
        allowed = {(Action.REJECT, "rule-1"), (Action.ACCEPT, "rule-2")}
        crowd = ["192.0.2.200"] * 512
        core.publish(plans[0])
        done = threading.Event()

        def swap():
            for turn in range(300):
                core.publish(plans[turn % 2])
            done.set()

        def read(_):
            seen = set()
            while not done.is_set():
                seen |= {(v.action, v.rule_id) for v in core.answer_many(crowd, Event.CONNECT, 0.0)}
            return seen

        swapper = threading.Thread(target=swap)
        swapper.start()
        seen = set().union(*self.run(read))
        swapper.join()
        assert seen <= allowed
        assert core._policies.waiting == 0

    def test_more_threads_than_slots(self, core, words):
        """Threads beyond the reader slots borrow one per call, and return it."""
        core.publish(words.plan())
        hold = threading.Barrier(300 + 1)

        def ask():
            core.answer(pack_address("192.0.2.1"), Event.CONNECT, 0.0)
            hold.wait(30)
            core.answer(pack_address("192.0.2.1"), Event.CONNECT, 0.0)

        threads = [threading.Thread(target=ask) for _ in range(300)]
        for thread in threads:
            thread.start()
        hold.wait(30)
        for thread in threads:
            thread.join()
        assert core.counters().decisions == 600
        core.publish(words.plan())
        assert core._policies.waiting == 0


class TestState:
    def test_a_spoofed_flood_takes_no_row_of_a_verified_source(self, core, words):
        limit = words.limit(3, 1000.0, 0.0, event=Event.DTLS_HANDSHAKE)
        core.publish(words.plan(limits={"0.0.0.0/0": [words.limit(3, 1000.0), limit]}))
        known = [pack_address(f"198.51.100.{n}") for n in range(200)]
        for address in known:
            for _ in range(3):
                assert core.answer(address, Event.CONNECT, 1.0).accepted
        before, chance = core.counters(), random.Random(3)
        bound = core.state_bytes
        for _ in range(SPOOFED // 200_000):
            flood = b"".join(b"\0" * 10 + b"\xff\xff" + chance.randbytes(4) for _ in range(200_000))
            core.answer_words(flood, Event.DTLS_HANDSHAKE, 2.0, verified=False)
        assert core.state_bytes == bound
        after = core.counters()
        assert (after.sources, after.evicted, after.penalties) == (before.sources, 0, 0)
        assert not any(core.answer(address, Event.CONNECT, 3.0).accepted for address in known)

    def test_a_flood_of_offenders_does_not_lock_out_strangers(self, core, words):
        """The number of penalties of unverified sources per second is bounded; further events are only refused."""
        limit = words.limit(1, 1.0, 60.0, event=Event.DTLS_HANDSHAKE)
        core.publish(words.plan(limits={"0.0.0.0/0": [limit]}))
        crowd = b"".join(b"\0" * 10 + b"\xff\xff\x0a" + n.to_bytes(3) for n in range(20_000))
        for _ in range(2):
            core.answer_words(crowd, Event.DTLS_HANDSHAKE, 1.0, verified=False)
        later = core.answer_words(crowd, Event.DTLS_HANDSHAKE, 5.0, verified=False)
        assert 1 <= sum(read_word(word)[0] is not Action.ACCEPT for word in later) <= 64
        for turn in range(20):  # few at a time: two sources share all four cells once in five million runs
            some = b"".join(b"\0" * 10 + b"\xff\xff\x0b" + (250 * turn + n).to_bytes(3) for n in range(250))
            new = core.answer_words(some, Event.DTLS_HANDSHAKE, 7.0 + 2 * turn, verified=False)
            assert all(read_word(word)[0] is Action.ACCEPT for word in new)

    def test_idle_rows_make_room_first(self, core, words):
        """With more sources than rows, sources that are still in their window keep their counts."""
        core.publish(words.plan(limits={"0.0.0.0/0": [words.limit(1, 10.0)]}))
        chance = random.Random(5)
        for turn in range(8):
            crowd = b"".join(b"\0" * 10 + b"\xff\xff" + chance.randbytes(4) for _ in range(50_000))
            core.answer_words(crowd, Event.CONNECT, 20.0 * turn)
        busy = pack_address("203.0.113.5")
        assert core.answer(busy, Event.CONNECT, 200.0).accepted
        core.answer_words(
            b"".join(b"\0" * 10 + b"\xff\xff" + chance.randbytes(4) for _ in range(50_000)), Event.CONNECT, 201.0
        )
        assert not core.answer(busy, Event.CONNECT, 205.0).accepted
        assert core.counters().sources <= 262_144
        assert core.counters().evicted > 0

    def test_state_is_at_most_32_megabytes(self, core):
        assert core.state_bytes <= 32_000_000

    def test_bucketed_limit_never_lets_more_through(self, core, words):
        """A limit too large for a log of times never accepts more than it states in any window."""
        core.publish(words.plan(limits={"0.0.0.0/0": [words.limit(40, 10.0)]}))
        chance, now, passed = random.Random(11), 0.0, []
        address = pack_address("192.0.2.77")
        for _ in range(4000):
            now += chance.choice([0.0, 0.01, 0.05, 0.1, 0.5])
            if core.answer(address, Event.CONNECT, now).accepted:
                passed.append(now)
        assert all(later - first >= 10.0 for first, later in zip(passed, passed[40:], strict=False))
        assert len(passed) >= 0.75 * 40 * now / 10.0

    def test_instant_burst_of_a_bucketed_limit_is_exact(self, core, words):
        core.publish(words.plan(limits={"0.0.0.0/0": [words.limit(100, 10.0)]}))
        address = pack_address("192.0.2.78")
        for at in (0.0, 10.0, 20.0):
            assert [core.answer(address, Event.CONNECT, at).accepted for _ in range(101)] == [True] * 100 + [False]

    @pytest.mark.parametrize(("before", "after"), [(10, 12), (10, 40), (40, 10), (40, 60)])
    def test_counts_carry_over_to_a_limit_of_another_size_and_window(self, core, words, before, after):
        address = pack_address("192.0.2.79")
        core.publish(words.plan(limits={"0.0.0.0/0": [words.limit(before, 10.0)]}))
        for _ in range(before):
            assert core.answer(address, Event.CONNECT, 1.0).accepted
        core.publish(words.plan(limits={"0.0.0.0/0": [words.limit(after, 3600.0)]}))
        left = [core.answer(address, Event.CONNECT, 2.0).accepted for _ in range(after)]
        assert sum(left) == max(0, after - before)

    def test_payback_takes_the_newest_from_a_bucketed_limit(self, core, words):
        payback = Payback(Event.AUTH_SUCCESS, Event.AUTH_FAILURE, 15)
        limit = words.limit(20, 10.0, event=Event.AUTH_FAILURE)
        core.publish(words.plan(limits={"0.0.0.0/0": [limit]}, paybacks=(payback,)))
        address = pack_address("192.0.2.80")
        for _ in range(20):
            core.answer(address, Event.AUTH_FAILURE, 0.0)
        core.answer(address, Event.AUTH_SUCCESS, 1.0)
        assert sum(core.answer(address, Event.AUTH_FAILURE, 1.0).accepted for _ in range(20)) == 15

    def test_penalties_of_many_sources_are_all_listed(self, core, words):
        core.publish(words.plan())
        networks = [pack_network(f"10.{a}.{b}.0/24") for a in range(20) for b in range(100)]
        for network, length in networks:
            core.penalize(network, length, 50.0, Reason.PASSWORD_SPRAY, "spray")
        listed = core.penalties(10.0)
        assert {(p.network, p.length) for p in listed} == set(networks)
        assert {p.rule_id for p in listed} == {"spray"}
        assert core.clear_penalties(*pack_network("10.0.0.0/12"), now=10.0) == 1600
        assert len(core.penalties(10.0)) == 400
        assert core.decide(words.ask("10.19.1.1", 10.0)).reason is Reason.PASSWORD_SPRAY
        assert core.decide(words.ask("10.1.1.1", 10.0)).accepted

    def test_box_keeps_penalties_without_end_when_it_is_full(self, core, words):
        core.publish(words.plan())
        for n in range(300_000):
            core.penalize(b"\x20\x01" + n.to_bytes(4) + bytes(10), 64, 1.0 + n, Reason.PENALTY, None)
            if n == 1000:
                core.penalize(*pack_network("203.0.113.9/32"), float("inf"), Reason.BLACKLISTED, None)
        assert len(core.penalties(0.0)) <= 131_072
        assert core.decide(words.ask("203.0.113.9", 5.0)) == Verdict(
            Action.REJECT, Reason.BLACKLISTED, None, float("inf")
        )


class TestDecisionLog:
    def test_nothing_is_recorded_unless_watched(self, core, words):
        core.publish(words.plan())
        core.decide(words.ask("192.0.2.1"))
        assert core.drain() == []

    def test_what_was_asked_and_answered(self, core, words):
        core.publish(words.plan(limits={"0.0.0.0/0": [words.limit(1, 10.0, 60.0, rule=5)]}))
        core.watch(1)
        asked = [words.ask("192.0.2.1", at) for at in (1.0, 2.0, 3.5)]
        answered = [core.decide(request) for request in asked]
        drained = core.drain()
        assert [(d.request, d.verdict) for d in drained] == list(zip(asked, answered, strict=True))
        assert all(0 < d.latency < 1 for d in drained)
        assert core.drain() == []

    def test_one_in_so_many(self, core, words):
        core.publish(words.plan())
        core.watch(10)
        core.answer_words(pack_address("192.0.2.1") * 1000, Event.CONNECT, 0.0)
        assert len(core.drain()) == 100

    def test_a_flood_is_thinned_then_dropped_and_counted(self, core, words):
        core.publish(words.plan())
        core.watch(1)
        core.answer_words(pack_address("192.0.2.1") * 600_000, Event.CONNECT, 0.0)
        assert core.unlogged > 0
        drained = [decision for _ in range(20) for decision in core.drain()]
        assert len(drained) == 8192
        core.decide(words.ask("192.0.2.2"))
        assert [d.request.address for d in core.drain()] == [pack_address("192.0.2.2")]

    def test_many_writers_lose_nothing_while_there_is_room(self, core, words):
        core.publish(words.plan())
        core.watch(1)
        crowds = [pack_address(f"192.0.2.{n}") * 400 for n in range(THREADS)]
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda crowd: core.answer_words(crowd, Event.CONNECT, 0.0), crowds))
        drained = Counter(d.request.address for _ in range(8) for d in core.drain())
        assert drained == {crowd[:16]: 400 for crowd in crowds}


class TestRefusals:
    def test_sizes_are_checked(self, core, words):
        core.publish(words.plan())
        with pytest.raises(ValueError, match="16 bytes"):
            core.answer(b"\x00" * 15, Event.CONNECT, 0.0)
        with pytest.raises(ValueError, match="multiple"):
            core.answer_words(b"\x00" * 17, Event.CONNECT, 0.0)
        with pytest.raises(ValueError, match="0 to 128"):
            core.penalize(bytes(16), 129, 1.0, Reason.PENALTY, None)

    def test_event_beyond_all_numbers_is_refused(self, core, words):
        core.publish(words.plan())
        for event in (7, 15, 16, 0xFFFF, 0x10000, 0xFFFF_FFFF):
            assert core.answer(bytes(16), event, 0.0).reason is Reason.INVALID_REQUEST

    @pytest.mark.parametrize(
        "aggregation", [Aggregation(0, 64), Aggregation(33, 64), Aggregation(32, 65), Aggregation(32, 0)]
    )
    def test_aggregation_out_of_range(self, core, words, aggregation):
        with pytest.raises(PlanError, match="aggregation"):
            core.publish(words.plan(aggregation=aggregation))

    def test_closed_core_answers_nothing(self, words):
        core = NativeCore()
        core.publish(words.plan())
        core.close()
        core.close()
        for question in (
            lambda: core.decide(words.ask("192.0.2.1")),
            lambda: core.answer_many(["192.0.2.1"], Event.CONNECT, 0.0),
            lambda: core.answer_words(bytes(16), Event.CONNECT, 0.0),
        ):
            with pytest.raises(RuntimeError):
                question()
        with pytest.raises(RuntimeError):
            core.penalties(0.0)

    def test_times_that_are_no_times(self, core, words):
        core.publish(words.plan(limits={"0.0.0.0/0": [words.limit(1, 10.0)]}))
        for now in (float("nan"), -1.0, float("-inf"), float("inf"), 1e300):
            core.answer(pack_address("192.0.2.1"), Event.CONNECT, now)


def test_abi_of_the_library_is_the_one_asked_for():
    assert lib.se_core_abi() == 9


def test_request_object_and_plain_answer_agree(core, words):
    core.publish(words.plan(tables={Tier.RULES: [("192.0.2.0/24", words.reject(1))]}))
    address = pack_address("192.0.2.1")
    assert core.answer(address, Event.CONNECT, 0.0) == core.decide(Request(address, Event.CONNECT, 0.0))
    assert (
        core.decide_many([Request(address, Event.CONNECT, 0.0)] * 2) == [core.answer(address, Event.CONNECT, 0.0)] * 2
    )
