# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's interface: addresses, events, blocks, swaps, admissions."""

from __future__ import annotations

import ipaddress
import json
import math

import pytest

from sentry_engine import (
    Action,
    AdmissionRefused,
    ClientLimits,
    Engine,
    Event,
    Policy,
    PolicyError,
    Reason,
    Verdict,
    pack_address,
    read_word,
)

RATE = {"type": "rate_limit", "remote_addr": ["0.0.0.0/0", "::/0"], "action": "rate_limit"}
FIVE = {"id": "five", **RATE, "max_connections_per_minute": 5, "penalty_duration_sec": 2}
INVALID = Verdict(Action.REJECT, Reason.INVALID_REQUEST)


def policy(*rules: dict, **more: object) -> Policy:
    return Policy.from_document({"wolfsentry": {"version": "1", "rules": list(rules), **more}})


def whitelist(rule_id: str, network: str, **more: object) -> dict:
    return {"id": rule_id, "type": "whitelist", "remote_addr": network, **more}


def blacklist(rule_id: str, network: str, **more: object) -> dict:
    return {"id": rule_id, "type": "blacklist", "remote_addr": network, **more}


class TestQuestions:
    def test_addresses_are_text_or_objects_and_mapped_ones_are_ipv4(self, make_engine):
        engine = make_engine([blacklist("no", "192.0.2.0/24")])
        same = ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201", ipaddress.ip_address("192.0.2.1"))
        for address in (*same, ipaddress.ip_address("::ffff:192.0.2.1")):
            assert engine.decide("connect", address).rule_id == "no"
        assert engine.decide("connect", "fe80::1%eth0").accepted

    @pytest.mark.parametrize(
        "address", ["", "192.0.2", "192.0.2.256", "192.0.2.01", "x", "1" * 10_000, "::1\x00", "192.0.2.1/32"]
    )
    def test_what_is_no_address_is_refused(self, make_engine, address):
        assert make_engine().decide("connect", address) == INVALID
        with pytest.raises(ValueError, match="is not an IP address"):
            make_engine().explain(address)

    def test_what_is_no_event_time_or_port_is_refused(self, make_engine):
        engine = make_engine()
        for event in ("nobody", "CONNECT", "", 7, 16, -1, 10**6):
            assert engine.decide(event, "192.0.2.1") == INVALID
        for now in (math.nan, math.inf, -math.inf, 1e300, -1e300, 9.2e9):
            assert engine.decide("connect", "192.0.2.1", now=now) == INVALID
        assert engine.decide("connect", "192.0.2.1", port=65_536) == INVALID
        assert engine.decide(Event.CONNECT, "192.0.2.1", port=65_535).accepted

    def test_many_at_once_answer_in_order_with_invalid_ones_in_their_places(self, make_engine):
        engine = make_engine([blacklist("no", "192.0.2.0/24")])
        answers = engine.decide_many("connect", ["192.0.2.1", "nonsense", "198.51.100.1"])
        assert [a.reason for a in answers] == [Reason.RULE, Reason.INVALID_REQUEST, Reason.WITHIN_LIMIT]

    def test_words_say_what_the_verdicts_say(self, make_engine):
        engine, other = (make_engine([FIVE, blacklist("no", "192.0.2.0/24")]) for _ in range(2))
        texts = ["192.0.2.1", "2001:db8::1", *["198.51.100.1"] * 8]
        words = engine.decide_packed("connect", b"".join(map(pack_address, texts)))
        verdicts = other.decide_many("connect", texts)
        assert [read_word(word) for word in words] == [(v.action, v.reason) for v in verdicts]
        assert {v.action for v in verdicts} == set(Action)

    def test_words_of_what_cannot_be_understood(self, make_engine):
        engine, two = make_engine(), pack_address("192.0.2.1") * 2
        for event, now in (("nobody", 0.0), ("connect", math.nan), ("connect", math.inf)):
            words = engine.decide_packed(event, two, now=now)
            assert [read_word(word) for word in words] == [(INVALID.action, INVALID.reason)] * 2
        assert not engine.decide_packed("connect", b"")
        with pytest.raises(ValueError, match="16 bytes"):
            engine.decide_packed("connect", two[:-1])

    def test_many_of_an_unknown_event_are_refused(self, make_engine):
        assert make_engine().decide_many("nobody", ["192.0.2.1", "x"]) == [INVALID] * 2

    def test_explain_counts_nothing_and_names_what_matched(self, make_engine):
        engine = make_engine([FIVE, blacklist("no", "192.0.2.0/24"), whitelist("yes", "192.0.2.128/25")])
        for _ in range(20):
            explanation = engine.explain("192.0.2.129")
        assert explanation.verdict == Verdict(Action.ACCEPT, Reason.RULE, "yes")
        assert [s.matched for s in explanation.steps if s.decisive] == ["192.0.2.128/25"]
        assert any(line.startswith("=> rules: 192.0.2.128/25 -> accept") for line in explanation.lines())
        assert engine.explain("198.51.100.1", event="auth_failure").event == "auth_failure"

    def test_custom_labels_are_events(self, make_engine):
        engine = make_engine(document={"events": [{"label": "portal", "max_rate_per_minute": 1}]})
        assert engine.decide("portal", "192.0.2.1") == Verdict(Action.ACCEPT, Reason.WITHIN_LIMIT, "event:portal")
        assert not engine.decide("portal", "192.0.2.1").accepted
        assert engine.event_label(engine.event_number("portal")) == "portal"

    def test_never_block_beats_everything(self, make_engine):
        engine = make_engine([FIVE, blacklist("no", "10.0.0.0/8")], never_block=["10.1.0.0/16"], default="reject")
        engine.block("10.1.0.0/24", rule_id="block:1")
        assert all(engine.decide("connect", "10.1.0.1").reason is Reason.NEVER_BLOCK for _ in range(9))
        assert not engine.decide("connect", "10.2.0.1").accepted

    def test_the_policys_default_beats_the_engines(self, make_engine):
        assert not make_engine(default="reject").decide("connect", "192.0.2.1").accepted
        engine = make_engine(document={"default": "accept"}, default="reject")
        assert engine.decide("connect", "192.0.2.1").accepted
        with pytest.raises(ValueError, match="accept or reject"):
            make_engine(default="rate_limited")


class TestBlocks:
    def test_a_block_is_in_force_when_the_call_returns_and_survives_a_swap(self, make_engine):
        engine = make_engine([whitelist("office", "192.0.2.0/24")])
        engine.block("192.0.2.7", rule_id="block:1", text="loud")
        assert engine.decide("connect", "192.0.2.7") == Verdict(Action.REJECT, Reason.RULE, "block:1")
        engine.swap(policy(whitelist("office", "192.0.2.0/24")))
        assert engine.decide("connect", "192.0.2.7").rule_id == "block:1"
        assert [block.id for block in engine.blocks()] == ["block:1"]
        assert engine.unblock("block:1")
        assert not engine.unblock("block:1")
        assert engine.decide("connect", "192.0.2.7").accepted

    def test_a_block_ends_by_itself(self, make_engine):
        engine = make_engine(wall_clock=lambda: 1_000.0)
        engine.block("192.0.2.7", rule_id="block:1", expires_at=1_060.0)
        assert not engine.decide("connect", "192.0.2.7", now=59.9).accepted
        assert engine.decide("connect", "192.0.2.7", now=60.0).accepted

    def test_a_whitelist_inside_a_block_gets_in_and_a_block_inside_a_whitelist_does_not(self, make_engine):
        engine = make_engine([whitelist("inner", "192.0.2.128/25")])
        engine.block("192.0.2.0/24", rule_id="block:outer")
        engine.block("192.0.2.129", rule_id="block:host")
        accepted = [engine.decide("connect", a).accepted for a in ("192.0.2.1", "192.0.2.130", "192.0.2.129")]
        assert accepted == [False, True, False]

    def test_of_each_address_the_most_specific_block_is_found(self, make_engine):
        engine = make_engine([FIVE, whitelist("yes", "192.0.2.0/25")])
        for number, network in enumerate(("192.0.2.0/24", "192.0.2.7", "198.51.100.0/24", "2001:db8::/32")):
            engine.block(network, rule_id=f"block:{number}")
        found = engine.find_blocks(["192.0.2.7", "192.0.2.8", "192.0.2.9", "2001:db8::1", "203.0.113.1"])
        assert {block.id for block in found} == {"block:0", "block:1", "block:3"}
        assert len(found) == 3
        engine.unblock("block:1")
        assert [block.id for block in engine.find_blocks(["192.0.2.7"])] == ["block:0"]
        assert engine.find_blocks(["203.0.113.1"]) == []

    def test_a_block_that_ended_is_not_found(self, make_engine):
        engine = make_engine(wall_clock=lambda: 1_000.0)
        engine.block("192.0.2.7", rule_id="block:1", expires_at=1_060.0)
        assert len(engine.find_blocks(["192.0.2.7"], now=59.0)) == 1
        assert engine.find_blocks(["192.0.2.7"], now=60.0) == []

    def test_would_block_foretells_what_block_does(self, make_engine):
        rules = [whitelist("office", "192.0.2.0/24"), blacklist("bad", "198.51.100.0/24")]
        addresses = ("192.0.2.1", "198.51.100.1", "203.0.113.1", "127.0.0.1", "2001:db8::1")
        networks = ("0.0.0.0/0", "192.0.0.0/8", "192.0.2.0/24", "192.0.2.0/25", "203.0.113.1", "127.0.0.0/8", "::/0")
        for network in networks:
            engine = make_engine(rules, never_block=["127.0.0.0/8"])
            foretold = {a: engine.would_block(network, a) for a in addresses}
            inside = [a for a in addresses if ipaddress.ip_address(a) in ipaddress.ip_network(network)]
            engine.block(network, rule_id="block:1")
            assert foretold == {a: a in inside and not engine.decide("connect", a).accepted for a in addresses}

    @pytest.mark.parametrize("network", ["192.0.2.1/24", "x", "", "192.0.2.0/33", "192.0.2.0/24/1"])
    def test_what_is_no_network_is_an_error(self, make_engine, network):
        engine = make_engine()
        with pytest.raises(ValueError, match=r"."):
            engine.block(network, rule_id="block:1")
        assert engine.blocks() == ()


class TestSwap:
    def test_counters_penalties_and_leases_carry_over(self, make_engine):
        engine = make_engine([FIVE])
        for _ in range(4):
            engine.decide("connect", "192.0.2.1")
        for _ in range(6):
            engine.decide("connect", "192.0.2.2")
        lease = engine.admit("ann", "203.0.113.1")
        engine.swap(policy(FIVE, blacklist("no", "10.0.0.0/8")))
        assert engine.decide("connect", "192.0.2.2").reason is Reason.PENALTY
        assert [engine.decide("connect", "192.0.2.1").accepted for _ in range(2)] == [True, False]
        assert engine.leases() == [lease]
        assert not engine.decide("connect", "10.0.0.1").accepted

    def test_a_policy_with_an_error_never_reaches_the_engine(self, make_engine):
        engine = make_engine([blacklist("no", "10.0.0.0/8")])
        version = engine.version
        with pytest.raises(PolicyError):
            engine.swap(policy(blacklist("no", "10.0.0.1/8")))
        assert engine.version == version
        assert not engine.decide("connect", "10.0.0.1").accepted

    def test_custom_events_keep_their_counts_when_others_come_and_go(self, make_engine):
        def labels(*names: str) -> list[dict]:
            return [{"label": name, "max_rate_per_minute": 2} for name in names]

        engine = make_engine(document={"events": labels("one", "two")})
        engine.decide("two", "192.0.2.1")
        engine.swap(policy(events=labels("three", "two")))
        assert [engine.decide("two", "192.0.2.1").accepted for _ in range(2)] == [True, False]
        assert engine.decide("three", "192.0.2.1").accepted

    def test_rules_end_in_the_engines_clock(self, make_engine):
        end = "2001-09-09T01:47:40Z"  # 60 s after the wall clock of these tests
        engine = make_engine(
            [blacklist("no", "10.0.0.0/8", expires_at=end), whitelist("yes", "10.0.0.0/8", expires_at=end)]
        )
        assert engine.decide("connect", "10.0.0.1", now=59.0).rule_id == "yes"
        assert engine.decide("connect", "10.0.0.1", now=60.0).rule_id != "yes"


class TestPenalties:
    def test_penalties_are_listed_set_and_forgiven(self, make_engine):
        engine = make_engine([FIVE])
        for _ in range(6):
            engine.decide("connect", "192.0.2.1", now=1.0)
        (penalty,) = engine.penalties(1.0)
        assert (penalty.text, penalty.until, penalty.rule_id) == ("192.0.2.1/32", 3.0, "five")
        engine.penalize("198.51.100.0/24", 10, reason=Reason.PASSWORD_SPRAY, now=1.0)
        assert engine.decide("connect", "198.51.100.9", now=2.0).reason is Reason.PASSWORD_SPRAY
        assert engine.clear_penalties("192.0.2.1", now=1.0) == 1
        assert engine.clear_penalties("198.51.100.9", now=1.0) == 1
        assert engine.penalties(1.0) == []
        assert engine.decide("connect", "198.51.100.9", now=2.0).accepted


class TestAdmission:
    def test_the_policy_is_asked_first(self, make_engine):
        engine = make_engine([blacklist("no", "10.0.0.0/8")])
        with pytest.raises(AdmissionRefused) as caught:
            engine.admit("ann", "10.0.0.1")
        assert caught.value.verdict.rule_id == "no"
        assert "10.0.0.1" not in caught.value.text
        assert engine.leases() == []

    def test_limits_hold_and_release_is_idempotent(self, make_engine):
        engine = make_engine(limits=ClientLimits(max_same_clients=1))
        lease = engine.admit("ann", "192.0.2.1")
        with pytest.raises(AdmissionRefused) as caught:
            engine.admit("ann", "192.0.2.2")
        assert caught.value.verdict.reason is Reason.MAX_SAME_CLIENTS
        assert [engine.release(lease) for _ in range(3)] == [True, False, False]
        engine.admit("ann", "192.0.2.2")

    def test_coming_back_counts_no_event(self, make_engine):
        limit = {"id": "starts", "type": "event_limit", "event": "session_start", "remote_addr": "0.0.0.0/0"}
        engine = make_engine([{**limit, "max_events": 1, "window_sec": 60, "penalty_duration_sec": 60}])
        for _ in range(10):
            engine.admit("ann", "192.0.2.1", session="s")
        with pytest.raises(AdmissionRefused):
            engine.admit("bob", "192.0.2.1")


class TestClockJumps:
    """A block ends in monotonic time from when it was made, whatever the wall clock does."""

    @pytest.mark.parametrize("jump", [7200.0, -7200.0, 1e7, -1e7])
    @pytest.mark.parametrize("change", ["swap", "block", "unblock"])
    def test_a_jump_of_the_wall_clock_moves_no_end(self, make_engine, jump, change):
        now, wall = [500.0], [1e9]
        engine = make_engine(clock=lambda: now[0], wall_clock=lambda: wall[0])
        engine.block("192.0.2.1", rule_id="block:1", expires_at=1e9 + 3600)
        engine.block("198.51.100.1", rule_id="block:2")
        wall[0] += jump
        if change == "swap":
            engine.swap(policy())
        elif change == "block":
            engine.block("198.51.100.2", rule_id="block:3")
        else:
            engine.unblock("block:2")
        now[0], wall[0] = 4099.0, wall[0] + 3599
        assert engine.decide("connect", "192.0.2.1").rule_id == "block:1"
        (listed,) = (block for block in engine.blocks() if block.id == "block:1")
        assert listed.expires_at == pytest.approx(wall[0] + 1)
        now[0], wall[0] = 4100.0, wall[0] + 1
        assert engine.decide("connect", "192.0.2.1").accepted
        assert all(block.id != "block:1" for block in engine.blocks())

    def test_a_new_engine_gets_the_time_that_is_left(self, make_engine):
        now, wall = [500.0], [1e9]
        engine = make_engine(clock=lambda: now[0], wall_clock=lambda: wall[0])
        engine.block("192.0.2.1", rule_id="block:1", expires_at=1e9 + 3600)
        now[0], wall[0] = 600.0, 2e9
        after = make_engine(clock=lambda: now[0] - 600, wall_clock=lambda: wall[0])
        after.import_state(engine.export_state())
        assert not after.decide("connect", "192.0.2.1", now=3499.0).accepted
        assert after.decide("connect", "192.0.2.1", now=3500.0).accepted


class TestConnected:
    """The verdict on clients that are connected."""

    def penalised(self, make_engine, *rules: dict, seconds: float = 60, **more: object) -> Engine:
        engine = make_engine(list(rules), **more)
        engine.penalize("192.0.2.1", seconds, reason=Reason.PASSWORD_SPRAY, now=0.0)
        assert engine.explain("192.0.2.1", now=1.0).verdict.reason is Reason.PASSWORD_SPRAY
        return engine

    def test_a_penalty_that_ends_refuses_no_connected_client(self, make_engine):
        engine = self.penalised(make_engine)
        assert engine.judge_connected("192.0.2.1", user="ann", now=1.0).accepted
        engine.admit("ann", "192.0.2.2", session="s", now=1.0)
        assert engine.admit("ann", "192.0.2.1", session="s", now=1.0).generation == 2

    def test_a_permanent_penalty_does(self, make_engine):
        engine = self.penalised(make_engine, seconds=math.inf)
        assert engine.judge_connected("192.0.2.1", user="ann", now=1.0).reason is Reason.PASSWORD_SPRAY

    def test_a_rule_behind_or_before_the_penalty_still_does(self, make_engine):
        engine = self.penalised(make_engine)
        engine.block("192.0.2.0/24", rule_id="block:1")
        assert engine.judge_connected("192.0.2.1", user="ann", now=1.0).rule_id == "block:1"

    def test_the_default_still_does(self, make_engine):
        engine = self.penalised(make_engine, default="reject")
        assert engine.judge_connected("192.0.2.1", user="ann", now=1.0) == Verdict(Action.REJECT, Reason.DEFAULT)

    def test_a_feed_behind_the_penalty_still_does(self, make_engine, tmp_path):
        tmp_path.joinpath("bad.list").write_text("192.0.2.0/24\n")
        feed = {"feeds": [{"id": "bad", "path": "bad.list"}], "version": "1"}
        tmp_path.joinpath("rules.json").write_text(json.dumps({"wolfsentry": feed}))
        engine = self.penalised(make_engine)
        engine.swap(Policy.load(tmp_path))
        assert engine.judge_connected("192.0.2.1", user="ann", now=1.0).reason is Reason.FEED

    def test_a_rule_about_the_user_still_does(self, make_engine):
        engine = self.penalised(make_engine)
        engine.swap(policy(users=[{"id": "home", "user": ["ann"], "remote_addr": ["198.51.100.0/24"]}]))
        assert engine.judge_connected("192.0.2.1", user="ann", now=1.0).reason is Reason.USER_NETWORK


class TestBuiltinLimits:
    """The built-in limits."""

    def test_an_office_of_200_behind_one_address_logs_in_within_a_minute(self, make_engine):
        engine = make_engine()
        refused = []
        for person in range(200):
            now = 1_000.0 + person * 0.3
            verdicts = [engine.decide("connect", "192.0.2.1", now=now) for _ in range(4)]
            if person % 10 == 0:
                verdicts.append(engine.decide("auth_failure", "192.0.2.1", now=now))
            verdicts.append(engine.decide("auth_success", "192.0.2.1", now=now))
            verdicts += [engine.decide("dtls_handshake", "192.0.2.1", now=now, verified=False) for _ in range(2)]
            engine.admit(f"user-{person}", "192.0.2.1", now=now)
            refused += [verdict for verdict in verdicts if not verdict.accepted]
        assert refused == []

    def test_guessing_passwords_is_cut_off_and_ever_longer(self, make_engine):
        engine = make_engine()
        now, tried = 0.0, 0
        while now < 86_400:
            verdict = engine.decide("auth_failure", "198.51.100.1", now=now)
            tried += verdict.accepted
            now += 1.0 if verdict.accepted else verdict.retry_after
        assert tried < 400
        for _ in range(31):
            engine.decide("auth_failure", "198.51.100.2", now=now)
        assert not engine.decide("connect", "198.51.100.2", now=now).accepted

    def test_a_rule_replaces_the_built_in_limit_where_it_applies(self, make_engine):
        small = {**RATE, "id": "small", "remote_addr": "192.0.2.0/24", "max_connections_per_minute": 1}
        engine = make_engine([small])
        assert engine.decide("connect", "192.0.2.1").rule_id == "small"
        assert engine.decide("auth_failure", "192.0.2.1").rule_id == "builtin:auth_failure"
        assert engine.decide("connect", "198.51.100.1").rule_id == "builtin:connect"

    def test_they_can_be_switched_off(self, make_engine):
        engine = make_engine(document={"builtin_limits": False})
        assert engine.decide("connect", "192.0.2.1").reason is Reason.DEFAULT


class TestCores:
    def test_the_reference_core_has_no_gate(self):
        with Engine(policy(), core="reference") as engine, pytest.raises(RuntimeError, match="native"):
            _ = engine.gate_address

    def test_an_engine_that_is_closed_answers_nothing(self):
        engine = Engine(policy(), core="reference")
        engine.close()
        with pytest.raises(RuntimeError):
            engine.decide("connect", "192.0.2.1")
