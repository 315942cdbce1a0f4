# SPDX-License-Identifier: GPL-3.0-or-later
"""Route tables in an engine: precedence, explain, blocks, swaps and the gate."""

from __future__ import annotations

from typing import Any

import pytest

from sentry_engine import Action, Engine, PlanError, Policy, PolicyError, Reason
from tests.sentry_engine.wolfsentry.documents import BOXED, GREEN, NTP, TRACKING, config, remote


@pytest.fixture
def open_engine(core_name):
    made = []

    def make(*routes: dict[str, Any], files: dict[str, Any] | None = None, **more: Any) -> Engine:
        policy = Policy.load(documents={"routes": config(*routes, **more), **(files or {})})
        made.append(Engine(policy, core=core_name, clock=lambda: 1.0))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


class TestRoutesInTheEngine:
    """The ``routes`` tier between rules and penalties."""

    def test_by_port_and_protocol(self, open_engine):
        engine = open_engine(NTP, {**BOXED, "family": "inet", "protocol": "tcp", "local": {"port": 25}})
        ask = engine.decide
        said = ask("dtls_handshake", "10.0.0.1", port=123)
        assert (said.action, said.reason, said.rule_id) == (Action.REJECT, Reason.RULE, "route:0")
        assert ask("connect", "10.0.0.1", port=123).reason is Reason.DEFAULT
        assert ask("connect", "10.0.0.1", protocol=17, port=123).rule_id == "route:0"
        assert ask("connect", "10.0.0.1", local_port=25).rule_id == "route:1"

    def test_by_bitmask(self, open_engine):
        engine = open_engine({**BOXED, **remote("10.0.0.1", bitmask="255.0.0.255")}, default="accept")
        said = [engine.decide("connect", a).accepted for a in ("10.9.9.1", "10.9.9.2")]
        assert said == [False, True]
        assert engine.rule_hits()["route:0"] == 1

    def test_so_many_sessions_at_a_time(self, open_engine):
        update = {"config-update": {"max-connection-count": 2}}
        engine = open_engine({**GREEN, **remote("10.0.0.0", 8)}, **update)
        events = ("session_start", "session_start", "session_start", "disconnect", "session_start")
        assert [engine.decide(e, "10.0.0.1").accepted for e in events] == [True, True, False, True, True]

    def test_each_source_is_tracked_by_itself(self, open_engine):
        engine = open_engine({**GREEN, "parent-event": "generator"}, default="accept", **TRACKING)
        said = [engine.decide("auth_failure", "10.0.0.1", now=10.0 + n).accepted for n in range(4)]
        assert said == [True, True, False, False]
        assert engine.decide("connect", "10.0.0.2", now=15.0).accepted
        assert not engine.decide("connect", "10.0.0.1", now=16.0).accepted

    def test_rules_come_first_and_penalties_after(self, open_engine):
        rules = [{"id": "office", "type": "whitelist", "remote_addr": "10.0.0.0/24", "action": "accept"}]
        green = {**GREEN, "family": "inet", "protocol": "tcp", **remote("10.1.0.0", 16)}
        engine = open_engine(NTP, green, files={"rules": {"wolfsentry": {"version": "1.6.3", "rules": rules}}})
        engine.penalize("10.0.0.0/8", 60.0, reason=Reason.PENALTY)
        assert engine.decide("dtls_handshake", "10.0.0.1", port=123).rule_id == "office"
        assert engine.decide("connect", "10.1.0.1").rule_id == "route:1"
        assert engine.decide("connect", "10.2.0.1").reason is Reason.PENALTY

    def test_explain_walks_through_them_and_counts_nothing(self, open_engine):
        update = {"config-update": {"max-connection-count": 1}}
        engine = open_engine({**GREEN, **remote("10.0.0.0", 8)}, **update)
        for _ in range(3):
            explained = engine.explain("10.0.0.1", event="session_start")
            assert explained.verdict.accepted
        assert [s.tier for s in explained.steps if s.decisive] == ["routes"]
        assert engine.decide("session_start", "10.0.0.1").accepted
        assert not engine.explain("10.0.0.1", event="session_start").verdict.accepted

    def test_a_block_is_in_force_beside_them_and_ends(self, open_engine):
        engine = open_engine(NTP, default="accept")
        engine.block("10.0.0.0/8", rule_id="b")
        assert engine.decide("connect", "10.0.0.1").rule_id == "b"
        engine.unblock("b")
        assert engine.decide("connect", "10.0.0.1").accepted

    def test_counts_stay_over_a_swap_that_does_not_change_them(self, open_engine):
        update = {"config-update": {"max-connection-count": 1}}
        engine = open_engine({**GREEN, **remote("10.0.0.0", 8)}, **update)
        assert engine.decide("session_start", "10.0.0.1").accepted
        engine.swap(engine.policy)
        assert not engine.decide("session_start", "10.0.0.1").accepted

    @pytest.mark.parametrize(
        ("document", "pointer"),
        [
            (config(NTP), "/routes/0/protocol"),
            (config({"local": {"port": 25}}), "/routes/0/local/port"),
            (config(remote("10.0.0.1", bitmask="255.0.0.255")), "/routes/0/remote/bitmask"),
            (config(**{"config-update": {"max-connection-count": 2}}), "/config-update/max-connection-count"),
            (config(**TRACKING), "/events/1/match-actions"),
        ],
    )
    def test_a_server_is_told_which_field_its_gate_cannot_ask(self, document, pointer):
        assert Policy.load(documents={"d": document}).untranslated()
        with pytest.raises(PolicyError, match="asked in Python only") as caught:
            Policy.load(documents={"d": document}, gated=True)
        assert pointer in [p.pointer for p in caught.value.problems]

    def test_no_gate_answers_without_them(self):
        tables, plain = Policy.from_document(config(NTP)), Policy.from_document(config(default="accept"))
        with Engine(tables, core="native") as engine, pytest.raises(RuntimeError, match="asked in Python only"):
            _ = engine.gate_address
        with Engine(plain, core="native") as engine:
            assert engine.gate_address
            with pytest.raises(PlanError, match="asked in Python only"):
                engine.swap(tables)
            assert engine.policy is plain
