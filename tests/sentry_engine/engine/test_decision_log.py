# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of decisions, saved state across engines, and replay."""

from __future__ import annotations

import json
import math

import pytest

from sentry_engine import Action, DecisionLog, Engine, Policy, Reason, State, simulate
from sentry_engine.verdict import Verdict

ACCEPT, REJECT = Verdict(Action.ACCEPT, Reason.DEFAULT), Verdict(Action.REJECT, Reason.RULE, "r")
ADDRESS = b"\x00" * 10 + b"\xff\xff\xc0\x00\x02\x01"
RATE = {"type": "rate_limit", "remote_addr": "0.0.0.0/0", "max_connections_per_minute": 3, "penalty_duration_sec": 60}


def policy(*rules: dict) -> Policy:
    return Policy.from_document({"wolfsentry": {"version": "1", "rules": list(rules)}})


class TestDecisionLog:
    def test_what_is_decided_is_there_with_its_reason(self, make_engine):
        engine = make_engine([{"id": "r", "type": "blacklist", "remote_addr": "192.0.2.0/24"}], decisions=DecisionLog())
        engine.decide("connect", "192.0.2.1", now=5.0)
        engine.decide("auth_success", "198.51.100.1", user="ann", now=6.0)
        refused, accepted = engine.decisions.drain()
        assert (refused.address, refused.event, refused.verdict.rule_id) == ("192.0.2.1", "connect", "r")
        assert (accepted.user, accepted.event, accepted.at) == ("ann", "auth_success", 1_000_000_006.0)
        assert accepted.latency > 0
        assert engine.decisions.drain() == []

    def test_a_flood_is_thinned_out_and_does_not_hide_the_rest(self):
        log = DecisionLog(per_second=10)
        for n in range(1_000):
            log.add(100.0 + n / 2_000, "connect", ADDRESS, None, REJECT, 0.0)
        log.add(100.5, "connect", ADDRESS, None, ACCEPT, 0.0)
        log.add(101.0, "connect", ADDRESS, None, REJECT, 0.0)
        records = log.drain()
        assert len(records) == 12
        assert [r.missed for r in records[-2:]] == [0, 990]

    def test_without_a_reader_the_oldest_go(self):
        log = DecisionLog(max_records=5)
        for n in range(8):
            log.add(float(n), "connect", ADDRESS, None, ACCEPT, 0.0)
        assert log.dropped == 3
        assert [r.at for r in log.drain(2)] == [3.0, 4.0]
        assert len(log.drain()) == 3


class TestSimulation:
    def test_it_tells_which_decisions_would_change(self, make_engine):
        engine = make_engine([], decisions=DecisionLog())
        for n in range(5):
            engine.decide("connect", "192.0.2.1", now=float(n))
        engine.decide("connect", "198.51.100.1", now=9.0)
        recorded = engine.decisions.drain()
        assert simulate(policy(), recorded) == []
        changes = simulate(policy({"id": "few", **RATE}), recorded)
        assert [(c.decision.at - 1_000_000_000.0, c.after.reason) for c in changes] == [
            (3.0, Reason.RATE_LIMIT),
            (4.0, Reason.PENALTY),
        ]
        block = {"id": "no", "type": "blacklist", "remote_addr": "198.51.100.0/24"}
        assert [c.after.rule_id for c in simulate(policy(block), recorded)] == ["no"]
        assert simulate(policy(block), recorded, never_block=["198.51.100.0/24"]) == []


class TestState:
    def test_penalties_and_blocks_outlive_an_engine(self, core_name):
        first = Engine(policy({"id": "few", **RATE}), core=core_name, clock=lambda: 50.0, wall_clock=lambda: 1_000.0)
        for _ in range(4):
            first.decide("connect", "192.0.2.1")
        first.penalize("2001:db8::/48", math.inf, reason=Reason.BLACKLISTED, rule_id="hand")
        first.block("198.51.100.0/24", rule_id="block:1", text="loud", expires_at=1_500.0)
        kept = json.loads(json.dumps(first.export_state().to_json()))
        second = Engine(policy({"id": "few", **RATE}), core=core_name, clock=lambda: 7.0, wall_clock=lambda: 1_020.0)
        second.import_state(State.from_json(kept))
        held = second.decide("connect", "192.0.2.1")
        assert (held.reason, held.rule_id, held.retry_after) == (Reason.PENALTY, "few", pytest.approx(40.0))
        assert second.decide("connect", "2001:db8::1").reason is Reason.BLACKLISTED
        assert second.decide("connect", "198.51.100.1").rule_id == "block:1"
        assert second.decide("connect", "198.51.100.1", now=7.0 + 480.0).accepted
        assert second.rule_text("block:1") == "loud"

    def test_what_is_over_is_not_restored(self, make_engine):
        kept = {"network": "192.0.2.1/32", "until": 999_999_999.0, "reason": "penalty", "rule_id": None}
        engine = make_engine()
        engine.import_state(State.from_json({"version": 1, "penalties": [kept], "blocks": []}))
        assert engine.penalties() == []

    @pytest.mark.parametrize(
        "document",
        [
            {},
            {"version": 2, "penalties": [], "blocks": []},
            {
                "version": 1,
                "penalties": [{"network": "x", "until": 1, "reason": "penalty", "rule_id": None}],
                "blocks": [],
            },
            {
                "version": 1,
                "penalties": [{"network": "::", "until": "x", "reason": "penalty", "rule_id": None}],
                "blocks": [],
            },
            {
                "version": 1,
                "penalties": [{"network": "::", "until": 1, "reason": "none", "rule_id": None}],
                "blocks": [],
            },
            {"version": 1, "penalties": [], "blocks": [{"id": "x"}]},
            {"version": 1, "penalties": 5, "blocks": []},
        ],
    )
    def test_what_is_no_state_is_an_error(self, document):
        with pytest.raises(ValueError, match=r"."):
            State.from_json(document)
