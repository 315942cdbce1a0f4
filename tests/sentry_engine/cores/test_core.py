# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface of both cores: order of tiers, prefixes, rates, penalties, and the state that a new plan keeps."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import replace

import pytest

from sentry_engine.addresses import pack_address, pack_network
from sentry_engine.cores.plan import Aggregation, Payback, PlanError, PrefixTable, Tier
from sentry_engine.verdict import Action, Event, Reason, Verdict

ALL = "0.0.0.0/0"


class TestTiers:
    def test_the_default_decides_when_nothing_else_does(self, core, words):
        core.publish(words.plan())
        assert core.decide(words.ask("192.0.2.1")) == Verdict(Action.ACCEPT, Reason.DEFAULT)
        core.publish(words.plan(default=Action.REJECT))
        assert core.decide(words.ask("192.0.2.1")) == Verdict(Action.REJECT, Reason.DEFAULT)

    def test_each_tier_beats_all_below(self, core, words):
        tables = {
            Tier.NEVER_BLOCK: [("10.0.0.0/24", words.accept(0))],
            Tier.RULES: [("10.0.0.0/23", words.reject(1))],
            Tier.FEEDS: [("10.0.0.0/22", words.reject(2, Reason.FEED))],
            Tier.COUNTRY: [("10.0.0.0/21", words.reject(3, Reason.COUNTRY))],
            Tier.ASN: [("10.0.0.0/20", words.reject(4, Reason.ASN))],
            Tier.ANONYMIZER: [("10.0.0.0/19", words.reject(5, Reason.ANONYMIZER))],
        }
        core.publish(words.plan(tables=tables))
        answers = [core.decide(words.ask(f"10.0.{third}.1")) for third in (0, 1, 2, 4, 8, 16, 32)]
        assert [(a.action, a.rule_id) for a in answers] == [
            (Action.ACCEPT, "rule-0"),
            *((Action.REJECT, f"rule-{n}") for n in range(1, 6)),
            (Action.ACCEPT, None),
        ]
        reasons = [Reason.RULE, Reason.RULE, Reason.FEED, Reason.COUNTRY, Reason.ASN, Reason.ANONYMIZER, Reason.DEFAULT]
        assert [a.reason for a in answers] == reasons

    def test_an_accepting_rule_exempts_from_penalties_and_limits_and_counts_nothing(self, core, words):
        tables = {Tier.RULES: [("192.0.2.1/32", words.accept())]}
        core.publish(words.plan(tables=tables, limits={ALL: [words.limit(1, penalty=60)]}))
        core.penalize(*pack_network("192.0.2.0/24"), 100.0, Reason.PASSWORD_SPRAY, None)
        assert all(core.decide(words.ask("192.0.2.1", now=n)).accepted for n in range(5))
        assert core.decide(words.ask("192.0.2.2")).reason is Reason.PASSWORD_SPRAY

    def test_accepting_and_informing_geo_entries_do_not_decide(self, core, words):
        tables = {
            Tier.COUNTRY: [("192.0.2.0/24", words.accept(2)), ("198.51.100.0/24", words.inform())],
            Tier.ASN: [("192.0.2.0/25", words.reject(4, Reason.ASN)), ("198.51.100.0/25", words.reject(4, Reason.ASN))],
        }
        core.publish(words.plan(tables=tables))
        assert core.decide(words.ask("192.0.2.1")).reason is Reason.ASN
        assert core.decide(words.ask("192.0.2.200")).reason is Reason.DEFAULT
        assert core.decide(words.ask("198.51.100.1")).reason is Reason.ASN

    def test_an_unknown_country_is_refused_only_when_the_plan_says_so(self, core, words):
        tables = {Tier.COUNTRY: [("192.0.2.0/24", words.inform())]}
        for on_missing, accepted in ((None, True), (Action.ACCEPT, True), (Action.REJECT, False)):
            core.publish(words.plan(tables=tables, on_missing=on_missing))
            assert core.decide(words.ask("192.0.2.1")).accepted
            verdict = core.decide(words.ask("198.51.100.1"))
            assert verdict.accepted is accepted
            assert verdict.reason is (Reason.DEFAULT if accepted else Reason.GEOIP_MISSING)

    def test_an_event_that_nobody_defined_is_refused(self, core, words):
        core.publish(words.plan(event_labels=("portal",)))
        assert core.decide(words.ask("192.0.2.1", event=16)).accepted
        for event in (7, 15, 17, 255):
            assert core.decide(words.ask("192.0.2.1", event=event)) == Verdict(Action.REJECT, Reason.INVALID_REQUEST)


class TestPrefixes:
    @pytest.mark.parametrize(
        ("address", "rule"),
        [
            ("10.1.2.3", "rule-3"),
            ("10.1.2.4", "rule-2"),
            ("10.1.3.1", "rule-1"),
            ("10.2.0.1", "rule-0"),
            ("11.0.0.1", None),
            ("::ffff:10.1.2.3", "rule-3"),
            ("2001:db8::1", "rule-4"),
            ("2001:db8:0:1::1", "rule-5"),
            ("2001:db9::", None),
        ],
    )
    def test_the_most_specific_prefix_wins(self, core, words, address, rule):
        rows = [
            ("10.0.0.0/8", words.reject(0)),
            ("10.1.0.0/16", words.accept(1)),
            ("10.1.2.0/24", words.reject(2)),
            ("10.1.2.3/32", words.accept(3)),
            ("2001:db8::/32", words.reject(4)),
            ("2001:db8:0:1::/64", words.accept(5)),
        ]
        core.publish(words.plan(tables={Tier.RULES: rows}))
        assert core.decide(words.ask(address)).rule_id == rule

    def test_a_short_ipv6_prefix_never_matches_ipv4(self, core, words):
        core.publish(words.plan(tables={Tier.RULES: [("::/0", words.reject()), ("::/64", words.reject())]}))
        assert core.decide(words.ask("192.0.2.1")).accepted
        assert not core.decide(words.ask("::1")).accepted
        core.publish(words.plan(tables={Tier.RULES: [(ALL, words.reject())]}))
        assert not core.decide(words.ask("192.0.2.1")).accepted
        assert core.decide(words.ask("::1")).accepted

    def test_of_equal_prefixes_the_lower_live_value_wins(self, core, words):
        rows = [("10.0.0.0/8", words.accept(0, expires_at=5.0)), ("10.0.0.0/8", words.reject(1))]
        core.publish(words.plan(tables={Tier.RULES: rows}))
        assert core.decide(words.ask("10.0.0.1", now=4.9)).rule_id == "rule-0"
        assert core.decide(words.ask("10.0.0.1", now=5.0)).rule_id == "rule-1"

    def test_an_expired_entry_leaves_the_shorter_prefix_to_answer(self, core, words):
        rows = [("10.0.0.0/8", words.reject(0)), ("10.0.0.0/16", words.accept(1, expires_at=5.0))]
        core.publish(words.plan(tables={Tier.RULES: rows}))
        assert core.decide(words.ask("10.0.0.1", now=4.999)).accepted
        assert core.decide(words.ask("10.0.0.1", now=5.0)).rule_id == "rule-0"

    def test_the_ends_of_a_prefix_belong_to_it_and_their_neighbours_do_not(self, core, words):
        rows = [("10.0.0.64/26", words.reject()), ("2001:db8:0:8::/61", words.reject())]
        core.publish(words.plan(tables={Tier.RULES: rows}))
        inside = ("10.0.0.64", "10.0.0.127", "2001:db8:0:8::", "2001:db8:0:f:ffff:ffff:ffff:ffff")
        outside = ("10.0.0.63", "10.0.0.128", "2001:db8:0:7:ffff:ffff:ffff:ffff", "2001:db8:0:10::")
        assert [core.decide(words.ask(a)).accepted for a in inside] == [False] * 4
        assert [core.decide(words.ask(a)).accepted for a in outside] == [True] * 4

    def test_decide_many_answers_in_order(self, core, words):
        core.publish(words.plan(tables={Tier.RULES: [("10.0.0.0/25", words.reject())]}))
        requests = [words.ask(f"10.0.0.{last}") for last in range(256)]
        assert [v.accepted for v in core.decide_many(requests)] == [last >= 128 for last in range(256)]


class TestRates:
    def test_the_first_n_pass_and_the_next_is_refused(self, core, words):
        core.publish(words.plan(limits={ALL: [words.limit(5, 60.0, 2.0)]}))
        answers = [core.decide(words.ask("192.0.2.1", now=100.0)) for _ in range(7)]
        assert [a.action for a in answers] == [Action.ACCEPT] * 5 + [Action.RATE_LIMITED] * 2
        assert answers[0] == Verdict(Action.ACCEPT, Reason.WITHIN_LIMIT, "rule-5")
        assert answers[5] == Verdict(Action.RATE_LIMITED, Reason.RATE_LIMIT, "rule-5", 2.0)
        assert answers[6] == Verdict(Action.RATE_LIMITED, Reason.PENALTY, "rule-5", 2.0)

    def test_a_penalty_ends_when_it_says_and_the_source_starts_fresh(self, core, words):
        core.publish(words.plan(limits={ALL: [words.limit(5, 60.0, 2.0)]}))
        for _ in range(6):
            core.decide(words.ask("192.0.2.1", now=100.0))
        held = core.decide(words.ask("192.0.2.1", now=101.5))
        assert (held.reason, held.retry_after) == (Reason.PENALTY, 0.5)
        answers = [core.decide(words.ask("192.0.2.1", now=102.0)) for _ in range(6)]
        assert [a.accepted for a in answers] == [True] * 5 + [False]

    def test_being_refused_in_penalty_does_not_prolong_it(self, core, words):
        core.publish(words.plan(limits={ALL: [words.limit(1, 60.0, 2.0)]}))
        answers = [core.decide(words.ask("192.0.2.1", now=100.0 + step / 10)).accepted for step in range(22)]
        assert answers == [True, *[False] * 20, True]

    def test_the_window_slides(self, core, words):
        core.publish(words.plan(limits={ALL: [words.limit(3, 10.0)]}))
        times = [0.0, 4.0, 8.0, 9.999, 10.0, 13.999, 14.0, 17.0, 18.0]
        answers = [core.decide(words.ask("192.0.2.1", now=t)).accepted for t in times]
        assert answers == [True, True, True, False, True, False, True, False, True]

    def test_without_a_penalty_the_wait_is_until_the_oldest_leaves_the_window(self, core, words):
        core.publish(words.plan(limits={ALL: [words.limit(2, 10.0)]}))
        core.decide(words.ask("192.0.2.1", now=1.0))
        core.decide(words.ask("192.0.2.1", now=3.0))
        assert core.decide(words.ask("192.0.2.1", now=4.0)).retry_after == pytest.approx(7.0)
        assert core.penalties(4.0) == []

    def test_sources_and_events_are_counted_apart(self, core, words):
        limits = [words.limit(1), words.limit(1, event=Event.AUTH_FAILURE, rule=6)]
        core.publish(words.plan(limits={ALL: limits}))
        assert core.decide(words.ask("192.0.2.1")).accepted
        assert core.decide(words.ask("192.0.2.2")).accepted
        assert core.decide(words.ask("192.0.2.1", event=Event.AUTH_FAILURE)).rule_id == "rule-6"
        assert not core.decide(words.ask("192.0.2.1")).accepted
        assert core.decide(words.ask("192.0.2.1", event=Event.DISCONNECT)).reason is Reason.DEFAULT

    def test_a_penalty_refuses_every_event_of_the_source(self, core, words):
        core.publish(words.plan(limits={ALL: [words.limit(1, 10.0, 5.0, event=Event.AUTH_FAILURE)]}))
        for _ in range(2):
            core.decide(words.ask("192.0.2.1", event=Event.AUTH_FAILURE))
        assert core.decide(words.ask("192.0.2.1", now=4.9)).reason is Reason.PENALTY
        assert core.decide(words.ask("192.0.2.1", now=5.0)).accepted

    def test_the_most_specific_row_limits(self, core, words):
        limits = {ALL: [words.limit(1)], "192.0.2.0/24": [words.limit(3, rule=6)], "192.0.2.9/32": []}
        core.publish(words.plan(limits=limits))
        assert [core.decide(words.ask("192.0.2.1")).accepted for _ in range(4)] == [True, True, True, False]
        assert [core.decide(words.ask("198.51.100.1")).accepted for _ in range(2)] == [True, False]
        assert all(core.decide(words.ask("192.0.2.9")).accepted for _ in range(9))

    def test_penalties_grow_to_their_most_and_are_forgotten_after_a_while(self, core, words):
        limit = words.limit(1, 1.0, 10.0, penalty_growth=3.0, penalty_max=50.0, strike_memory=100.0)
        core.publish(words.plan(limits={ALL: [limit]}))
        now, lengths = 0.0, []
        for _ in range(4):
            core.decide(words.ask("192.0.2.1", now=now))
            lengths.append(core.decide(words.ask("192.0.2.1", now=now)).retry_after)
            now += lengths[-1]
        assert lengths == [10.0, 30.0, 50.0, 50.0]
        core.decide(words.ask("192.0.2.1", now=now + 100.0))
        assert core.decide(words.ask("192.0.2.1", now=now + 100.0)).retry_after == 10.0

    @pytest.mark.parametrize(("ttl", "seconds"), [(None, math.inf), (500.0, 500.0)])
    def test_so_many_penalties_blacklist(self, core, words, ttl, seconds):
        limit = words.limit(1, 1.0, 10.0, blacklist_threshold=2, blacklist_ttl=ttl)
        core.publish(words.plan(limits={ALL: [limit]}))
        for _ in range(2):
            core.decide(words.ask("192.0.2.1", now=0.0))
        core.decide(words.ask("192.0.2.1", now=20.0))
        refusal = Verdict(Action.REJECT, Reason.BLACKLISTED, "rule-5", seconds)
        assert core.decide(words.ask("192.0.2.1", now=20.0)) == refusal
        assert core.decide(words.ask("192.0.2.1", now=20.0)) == refusal
        assert core.decide(words.ask("192.0.2.1", now=520.0)).accepted is (ttl is not None)

    def test_success_pays_the_newest_failures_back(self, core, words):
        limit = words.limit(2, 100.0, 30.0, event=Event.AUTH_FAILURE)
        paybacks = (Payback(Event.AUTH_SUCCESS, Event.AUTH_FAILURE, 1),)
        core.publish(words.plan(limits={ALL: [limit]}, paybacks=paybacks))
        for now in range(0, 40, 2):
            assert core.decide(words.ask("192.0.2.1", now=now, event=Event.AUTH_FAILURE)).accepted
            assert core.decide(words.ask("192.0.2.1", now=now + 1, event=Event.AUTH_SUCCESS)).accepted
        answers = [core.decide(words.ask("192.0.2.1", now=50, event=Event.AUTH_FAILURE)).accepted for _ in range(3)]
        assert answers == [True, True, False]

    def test_failures_are_paid_back_one_by_one_from_one_source(self, core, words):
        core.pay_back(pack_address("192.0.2.1"), Event.AUTH_FAILURE, 1)  # without a plan
        core.publish(words.plan(limits={ALL: [words.limit(2, 100.0, 30.0, event=Event.AUTH_FAILURE)]}))
        for address in ("192.0.2.1", "192.0.2.2"):
            assert [core.decide(words.ask(address, event=Event.AUTH_FAILURE)).accepted for _ in range(2)] == [True] * 2
        core.pay_back(pack_address("192.0.2.1"), Event.AUTH_FAILURE, 5)
        core.pay_back(pack_address("192.0.2.1"), Event.CONNECT, 5)
        asks = [words.ask(address, event=Event.AUTH_FAILURE) for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2")]
        assert [core.decide(ask).accepted for ask in asks] == [True, True, False]

    def test_a_clock_that_stands_or_steps_back_lets_nobody_through(self, core, words):
        core.publish(words.plan(limits={ALL: [words.limit(2, 10.0, 5.0)]}))
        answers = [core.decide(words.ask("192.0.2.1", now=t)).accepted for t in (100.0, 99.0, 99.5)]
        assert answers == [True, True, False]


class TestUnverified:
    def test_unverified_events_are_limited_among_themselves_and_punish_nobody(self, core, words):
        limit = words.limit(10, 1.0, 60.0, event=Event.DTLS_HANDSHAKE)
        core.publish(words.plan(limits={ALL: [limit, words.limit(100, 1.0)]}))
        asks = [words.ask("192.0.2.1", 5.0, Event.DTLS_HANDSHAKE, verified=False) for _ in range(12)]
        answers = [core.decide(ask) for ask in asks]
        assert [a.action for a in answers] == [Action.ACCEPT] * 10 + [Action.RATE_LIMITED] * 2
        assert answers[10].reason is Reason.RATE_LIMIT
        assert core.penalties(5.0) == []
        assert core.decide(words.ask("192.0.2.1", 5.0)).accepted
        held = core.decide(words.ask("192.0.2.1", 64.0, Event.DTLS_HANDSHAKE, verified=False))
        assert (held.action, held.reason) == (Action.RATE_LIMITED, Reason.RATE_LIMIT)
        assert core.decide(words.ask("192.0.2.1", 65.0, Event.DTLS_HANDSHAKE, verified=False)).accepted

    def test_unverified_events_do_respect_rules_and_penalties(self, core, words):
        core.publish(words.plan(tables={Tier.RULES: [("192.0.2.1/32", words.reject())]}))
        core.penalize(*pack_network("192.0.2.2"), 10.0, Reason.PENALTY, None)
        for address in ("192.0.2.1", "192.0.2.2"):
            assert not core.decide(words.ask(address, 5.0, Event.DTLS_HANDSHAKE, verified=False)).accepted

    def test_a_flood_of_spoofed_sources_evicts_no_real_one(self, core, words):
        limits = {ALL: [words.limit(1, 1e6), words.limit(5, 1.0, event=Event.DTLS_HANDSHAKE)]}
        core.publish(words.plan(limits=limits))
        core.decide(words.ask("192.0.2.1"))
        flood = [
            words.ask(f"10.{n >> 8}.{n & 255}.1", 1.0, Event.DTLS_HANDSHAKE, verified=False) for n in range(20_000)
        ]
        core.decide_many(flood)
        assert core.counters().evicted == 0
        assert not core.decide(words.ask("192.0.2.1", 2.0)).accepted


class TestSources:
    def test_an_ipv6_source_is_a_64(self, core, words):
        core.publish(words.plan(limits={"::/0": [words.limit(1, 10.0, 5.0)]}))
        assert core.decide(words.ask("2001:db8::1")).accepted
        assert not core.decide(words.ask("2001:db8::ffff:2")).accepted
        assert core.decide(words.ask("2001:db8:0:1::1")).accepted
        (penalty,) = core.penalties(0.0)
        assert (penalty.network, penalty.length) == pack_network("2001:db8::/64")

    def test_aggregation_is_a_setting(self, core, words):
        aggregation = Aggregation(ipv4_prefix=24, ipv6_prefix=48, escalate_after=0)
        core.publish(words.plan(limits={ALL: [words.limit(1)], "::/0": [words.limit(1)]}, aggregation=aggregation))
        for first, second, other in (
            ("192.0.2.1", "192.0.2.9", "192.0.3.1"),
            ("2001:db8::", "2001:db8:0:9::", "2001:db8:1::"),
        ):
            assert [core.decide(words.ask(a)).accepted for a in (first, second, other)] == [True, False, True]

    def test_many_bad_64s_widen_to_the_56_and_then_the_48(self, core, words):
        core.publish(
            words.plan(limits={"::/0": [words.limit(1, 10.0, 5.0)]}, aggregation=Aggregation(escalate_after=2))
        )

        def misbehave(address: str) -> None:
            for _ in range(2):
                core.decide(words.ask(address))

        misbehave("2001:db8:0:0100::1")
        assert core.decide(words.ask("2001:db8:0:0102::1")).accepted
        misbehave("2001:db8:0:0101::1")
        assert core.decide(words.ask("2001:db8:0:0103::1")).reason is Reason.PENALTY
        assert core.decide(words.ask("2001:db8:0:0200::1")).accepted
        misbehave("2001:db8:0:0300::1")
        misbehave("2001:db8:0:0301::1")
        assert core.decide(words.ask("2001:db8:0:0400::1")).reason is Reason.PENALTY
        assert core.decide(words.ask("2001:db8:1::1")).accepted
        assert core.decide(words.ask("2001:db8:0:0400::1", now=5.0)).accepted

    @pytest.mark.parametrize(("length", "wide"), [(48, 44), (44, 40), (40, 36), (36, 32)])
    @pytest.mark.parametrize(("after", "needed"), [(1, 8), (4, 8), (12, 12), (200, 16)])
    def test_half_of_a_wider_network_widens_up_to_the_32(self, core, words, length, wide, after, needed):
        aggregation = Aggregation(ipv6_prefix=length, escalate_after=after)
        core.publish(words.plan(limits={"::/0": [words.limit(1, 10.0, 5.0)]}, aggregation=aggregation))

        def address(number: int) -> str:
            base = int.from_bytes(pack_network("2001:db8::")[0])
            return str(ipaddress.IPv6Address(base + (number << (128 - length)) + 1))

        for number in range(needed - 1):
            for _ in range(2):
                core.decide(words.ask(address(number)))
        assert core.trace(words.ask(address(15)))[0].accepted
        for _ in range(2):
            core.decide(words.ask(address(needed - 1)))
        assert core.decide(words.ask(address(15))).reason is Reason.PENALTY
        assert core.decide(words.ask(address(16))).accepted
        assert core.decide(words.ask(address(15), now=5.0)).accepted
        assert {p.length for p in core.penalties(0.0)} == {length, wide}

    def test_nothing_widens_beyond_the_32(self, core, words):
        aggregation = Aggregation(ipv6_prefix=32, escalate_after=1)
        core.publish(words.plan(limits={"::/0": [words.limit(1, 10.0, 5.0)]}, aggregation=aggregation))
        for number in range(16):
            core.decide(words.ask(f"2001:db{number:x}::"))
            core.decide(words.ask(f"2001:db{number:x}::"))
        assert core.decide(words.ask("2001:da0::")).accepted
        assert {p.length for p in core.penalties(0.0)} == {32}

    def test_neighbours_in_ipv4_never_widen(self, core, words):
        core.publish(words.plan(limits={ALL: [words.limit(1, 10.0, 5.0)]}, aggregation=Aggregation(escalate_after=1)))
        for last in range(8):
            core.decide(words.ask(f"192.0.2.{last}"))
            core.decide(words.ask(f"192.0.2.{last}"))
        assert core.decide(words.ask("192.0.2.99")).accepted


class TestPenalties:
    def test_the_most_specific_penalty_answers(self, core, words):
        core.publish(words.plan())
        core.penalize(*pack_network("192.0.2.0/24"), 50.0, Reason.PASSWORD_SPRAY, "wide")
        core.penalize(*pack_network("192.0.2.1"), 20.0, Reason.PENALTY, "narrow")
        assert core.decide(words.ask("192.0.2.1")) == Verdict(Action.RATE_LIMITED, Reason.PENALTY, "narrow", 20.0)
        assert core.decide(words.ask("192.0.2.1", 20.0)) == Verdict(Action.REJECT, Reason.PASSWORD_SPRAY, "wide", 30.0)
        assert core.decide(words.ask("192.0.2.1", 50.0)).accepted

    def test_forgiving_ends_the_penalty_and_forgets_the_strikes(self, core, words):
        limit = words.limit(1, 10.0, 5.0, penalty_growth=2.0)
        core.publish(words.plan(limits={ALL: [limit]}))
        for address in ("192.0.2.1", "192.0.2.2", "198.51.100.1"):
            core.decide(words.ask(address))
            core.decide(words.ask(address))
        assert core.clear_penalties(*pack_network("192.0.2.0/24"), 0.0) == 2
        assert core.clear_penalties(*pack_network("192.0.2.0/24"), 0.0) == 0
        assert core.decide(words.ask("192.0.2.1")).accepted
        assert core.decide(words.ask("192.0.2.1")).retry_after == 5.0
        assert core.decide(words.ask("198.51.100.1")).reason is Reason.PENALTY

    def test_only_penalties_in_force_are_listed(self, core, words):
        core.publish(words.plan())
        core.penalize(*pack_network("192.0.2.1"), 10.0, Reason.PENALTY, None)
        core.penalize(*pack_network("2001:db8::/48"), math.inf, Reason.BLACKLISTED, "gone")
        assert {(p.length, p.until, p.rule_id) for p in core.penalties(5.0)} == {
            (128, 10.0, None),
            (48, math.inf, "gone"),
        }
        assert [p.length for p in core.penalties(10.0)] == [48]


class TestPublish:
    def test_windows_strikes_and_penalties_outlive_a_plan(self, core, words):
        plan = words.plan(limits={ALL: [words.limit(2, 100.0, 10.0, penalty_growth=2.0)]})
        core.publish(plan)
        core.decide(words.ask("192.0.2.1", 0.0))
        for _ in range(3):
            core.decide(words.ask("192.0.2.2", 0.0))
        other = words.limit(9, rule=7, event=Event.AUTH_FAILURE)
        core.publish(
            words.plan(version=2, limits={ALL: [other, words.limit(2, 100.0, 10.0, penalty_growth=2.0, rule=8)]})
        )
        assert core.decide(words.ask("192.0.2.2", 5.0)) == Verdict(Action.RATE_LIMITED, Reason.PENALTY, "rule-5", 5.0)
        assert core.decide(words.ask("192.0.2.1", 5.0)).rule_id == "rule-8"
        assert core.decide(words.ask("192.0.2.1", 5.0)).retry_after == 10.0
        for _ in range(2):
            core.decide(words.ask("192.0.2.2", 10.0))
        assert core.decide(words.ask("192.0.2.2", 10.0)).retry_after == 20.0

    def test_a_plan_that_does_not_fit_together_changes_nothing(self, core, words):
        good = words.plan(tables={Tier.RULES: [("10.0.0.0/8", words.reject())]})
        core.publish(good)
        rules = good.tables[Tier.RULES]
        torn = PrefixTable(rules.networks[:-1], rules.lengths, rules.values)
        long = PrefixTable(rules.networks, bytes((129,)), rules.values)
        lost = PrefixTable(rules.networks, rules.lengths, type(rules.values)("I", [99]))

        def with_rules(table: PrefixTable) -> tuple[PrefixTable, ...]:
            return tuple(table if tier is Tier.RULES else good.tables[tier] for tier in Tier)

        broken = [
            replace(good, tables=good.tables[:-1]),
            *(replace(good, tables=with_rules(table)) for table in (torn, long, lost)),
            replace(good, rule_ids=()),
            replace(good, limits=(words.limit(0),)),
            replace(good, limits=(words.limit(65_536),)),
            replace(good, limits=(words.limit(window=0.0),)),
            replace(good, limits=(words.limit(window=1e9),)),
            replace(good, limit_sets=((5,),)),
            replace(good, limits=(words.limit(), words.limit()), limit_sets=((0, 1),)),
            replace(good, aggregation=Aggregation(ipv4_prefix=33)),
            replace(good, aggregation=Aggregation(ipv6_prefix=65)),
        ]
        for plan in broken:
            with pytest.raises(PlanError):
                core.publish(plan)
        assert not core.decide(words.ask("10.0.0.1")).accepted


class TestTrace:
    def test_the_walk_names_every_tier_and_one_of_them_decides(self, core, words):
        tables = {
            Tier.RULES: [("10.0.0.0/8", words.reject(3))],
            Tier.FEEDS: [("10.0.0.0/16", words.reject(4, Reason.FEED))],
        }
        core.publish(words.plan(tables=tables, limits={ALL: [words.limit(2)]}))
        verdict, steps = core.trace(words.ask("10.0.0.1"))
        assert verdict == Verdict(Action.REJECT, Reason.RULE, "rule-3")
        names = ["never_block", "rules", "penalty", "feeds", "country", "asn", "anonymizer", "limits", "default"]
        assert [s.tier for s in steps] == names
        assert [s.tier for s in steps if s.decisive] == ["rules"]
        matched = {s.tier: (s.matched, s.rule_id) for s in steps}
        assert matched["rules"] == ("10.0.0.0/8", "rule-3")
        assert matched["feeds"] == ("10.0.0.0/16", "rule-4")
        assert matched["never_block"] == (None, None)

    def test_tracing_counts_nothing_and_agrees_with_deciding(self, core, words):
        core.publish(words.plan(limits={ALL: [words.limit(2, 10.0, 5.0)]}))
        before = core.counters()
        for _ in range(10):
            assert core.trace(words.ask("192.0.2.1"))[0].accepted
        assert core.counters() == before
        for _ in range(4):
            traced = core.trace(words.ask("192.0.2.1"))[0]
            assert core.decide(words.ask("192.0.2.1")) == traced
        assert core.rule_hits() == {"rule-5": 4}


class TestCounters:
    def test_decisions_and_refusals_are_counted(self, core, words):
        core.publish(words.plan(tables={Tier.RULES: [("10.0.0.0/8", words.reject(3))]}))
        core.decide_many([words.ask("10.0.0.1"), words.ask("10.0.0.2"), words.ask("11.0.0.1")])
        counters = core.counters()
        assert (counters.decisions, counters.refused) == (3, 2)
        assert counters.verdicts == {(Action.REJECT, Reason.RULE): 2, (Action.ACCEPT, Reason.DEFAULT): 1}
        assert core.rule_hits() == {"rule-3": 2}
