# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that a wolfSentry configuration becomes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentry_engine import Action, Engine, Policy, PolicyError, Reason
from sentry_engine.wolfsentry import RouteTable, read_config
from tests.sentry_engine.wolfsentry.documents import BOXED, GREEN, config, decide, remote, traffic


class TestTranslation:
    def test_routes_become_rules(self, core_name):
        routes = [
            {**GREEN, **remote("10.0.0.0", 8)},
            {**BOXED, **remote("10.1.0.0", 16)},
            {**remote("10.2.0.0", 16)},
            {**GREEN, **remote("10.3.0.0", 16), "direction-in": False, "direction-out": True},
        ]
        update = {"derog-thresh-for-penalty-boxing": 3, "penalty-box-duration": "60s"}
        policy = Policy.from_document(config(*routes, **{"config-update": update}))
        with Engine(policy, core=core_name) as engine:
            said = [engine.decide("connect", a) for a in ("10.0.0.1", "10.1.0.1", "10.2.0.1", "11.0.0.1")]
            assert [(v.action, v.rule_id) for v in said[:3]] == [
                (Action.ACCEPT, "route:0"), (Action.REJECT, "route:1"), (Action.REJECT, "route:2"),
            ]  # fmt: skip
            assert said[3].reason is Reason.DEFAULT
        assert [(r.max_events, r.penalty) for r in policy.limit_rules] == [(2, 60.0)]

    @pytest.mark.parametrize(
        ("route", "pointer"),
        [
            ({"local": {"address": "192.0.2.1"}, "family": "inet"}, "/routes/0/local/address"),
            ({"local": {"interface": 1}}, "/routes/0/local/interface"),
            (remote(interface=1), "/routes/0/remote/interface"),
        ],
    )
    def test_what_the_engine_is_not_told_is_a_problem(self, route, pointer):
        with pytest.raises(PolicyError, match="the engine is not told") as caught:
            Policy.from_document(config({**BOXED, **route}))
        assert [p.pointer for p in caught.value.problems] == [pointer]

    @given(st.data())
    def test_the_rules_answer_as_the_routes_do(self, data):
        events = [{"label": f"e{n}", "priority": n} for n in range(3)]
        prefix = st.tuples(st.integers(0, 15), st.integers(28, 32))
        routes = []
        for number, bits in data.draw(st.lists(prefix, max_size=6, unique=True)):
            base = number >> (32 - bits) << (32 - bits)
            flags = data.draw(st.sampled_from([GREEN, BOXED, {}]))
            event = data.draw(st.sampled_from([{}, {"parent-event": "e1"}, {"parent-event": "e2"}]))
            routes.append({**flags, **event, **remote(f"10.0.0.{base}", bits)})
        unique = list({str(r["remote"]): r for r in routes}.values())
        document = config(*unique, events=events, default=data.draw(st.sampled_from(["accept", "reject"])))
        originals = RouteTable(read_config(document, file="f"))
        with Engine(Policy.from_document(document), core="reference") as engine:
            for last in range(16):
                address = f"10.0.0.{last}"
                assert engine.decide("connect", address).accepted is decide(originals, traffic(address))[0], address
