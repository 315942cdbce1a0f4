# SPDX-License-Identifier: GPL-3.0-or-later
"""wolfSentry's configuration: its verdicts on traffic, and the rules it becomes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sentry_engine import Action, Engine, PlanError, Policy, PolicyError, Reason
from sentry_engine.wolfsentry import Endpoint, RouteTable, Traffic, dump, read_config
from sentry_engine.wolfsentry.render import describe_route
from tests.sentry_engine.wolfsentry.strategies import configurations, questions

TRACK = "%track-peer-v1"
IN = {"direction-in": True}


def remote(address: str | None = None, bits: int | None = None, **more: Any) -> dict[str, Any]:
    body = {"address": address, "prefix-bits": bits, **more}
    return {"remote": {key: value for key, value in body.items() if value is not None}}


def config(
    *routes: dict[str, Any], events: list[dict[str, Any]] | None = None, default: str | None = "reject", **more: Any
) -> dict[str, Any]:
    policies = {} if default is None else {"default-policies": {"default-policy": default}}
    return {
        "wolfsentry-config-version": 1,
        **more,
        "events": events or [],
        **policies,
        "routes": [{**IN, **r} for r in routes],
    }


def table(*routes: dict[str, Any], **more: Any) -> RouteTable:
    return RouteTable(read_config(config(*routes, **more), file="f"))


def traffic(
    address: str = "10.0.0.1",
    *,
    port: int = 1234,
    local: str = "192.0.2.1",
    local_port: int = 443,
    protocol: int = 6,
    **more: Any,
) -> Traffic:
    return Traffic(Endpoint(address, port), Endpoint(local, local_port), protocol, **more)


def decide(routes: RouteTable, target: Traffic, *results: str, now: float = 0.0) -> tuple[bool, int | None]:
    outcome = routes.dispatch(target, results, now=now)
    return outcome.accepted, outcome.route


GREEN, BOXED = {"green-listed": True}, {"penalty-boxed": True}


class TestLookup:
    def test_flags_decide_and_the_rest_falls_to_the_default(self):
        routes = table({**GREEN, **remote("10.0.0.0", 24)}, {**BOXED, **remote("10.0.1.0", 24)}, remote("10.0.2.0", 24))
        answers = [decide(routes, traffic(a)) for a in ("10.0.0.1", "10.0.1.1", "10.0.2.1", "10.0.3.1")]
        assert answers == [(True, 0), (False, 1), (False, 2), (False, None)]
        assert decide(table(remote("10.0.2.0", 24), default="accept"), traffic("10.0.2.1")) == (True, 0)
        assert decide(table(default=None), traffic()) == (True, None)

    def test_more_exact_fields_win_then_the_longer_prefix(self):
        wide, narrow = {**BOXED, **remote("10.0.0.0", 8)}, {**GREEN, **remote("10.0.0.0", 24)}
        assert decide(table(wide, narrow), traffic()) == (True, 1)
        assert decide(
            table(narrow, {**BOXED, **remote("10.0.0.0", 8), "family": "inet", "protocol": "tcp"}), traffic()
        ) == (False, 1)
        assert decide(table(wide, {**GREEN, "family": "inet", "local": {"port": 443}}, narrow), traffic())[1] == 1

    def test_priority_comes_before_exactness(self):
        events = [{"label": "first", "priority": 1}, {"label": "last", "priority": 9}]
        wide = {**BOXED, "parent-event": "first", **remote("10.0.0.0", 8)}
        narrow = {**GREEN, "parent-event": "last", **remote("10.0.0.1", 32)}
        assert decide(table(wide, narrow, events=events), traffic()) == (False, 0)
        unlabelled = {**GREEN, **remote("10.0.0.0", 16)}
        assert decide(table(wide, narrow, unlabelled, events=events), traffic()) == (True, 2)

    @pytest.mark.parametrize(
        ("route", "target", "matches"),
        [
            (remote("10.0.0.1", bitmask="255.0.0.255"), traffic("10.9.9.1"), True),
            (remote("10.0.0.1", bitmask="255.0.0.255"), traffic("10.9.9.2"), False),
            ({"family": "inet", "protocol": "tcp"}, traffic(), True),
            ({"family": "inet", "protocol": 17}, traffic(), False),
            ({"family": "inet6"}, traffic(), False),
            ({"family": "inet6"}, traffic("2001:db8::1", local=""), True),
            (remote(port="https"), traffic(port=443), True),
            (remote(port=443), traffic(port=444), False),
            (remote(interface=2), Traffic(Endpoint("10.0.0.1", interface=2)), True),
            (remote(interface=2), Traffic(Endpoint("10.0.0.1", interface=3)), False),
            ({"local": {"address": "192.0.2.0", "prefix-bits": 24}}, traffic(), True),
            ({"local": {"address": "192.0.2.0", "prefix-bits": 24}}, traffic(local="192.0.3.1"), False),
            ({}, traffic(inbound=False), False),
            ({"direction-in": False, "direction-out": True}, traffic(inbound=False), True),
        ],
    )
    def test_each_field_selects(self, route, target, matches):
        assert decide(table({**GREEN, **route}), target)[0] is matches

    def test_results_may_be_a_condition_and_are_changed_by_the_event(self):
        conf = {
            "action-res-filter-bits-set": ["unreachable"],
            "action-res-filter-bits-unset": ["commendable"],
            "action-res-bits-to-add": ["user+4"],
        }
        routes = table({**GREEN, "parent-event": "e"}, events=[{"label": "e", "config": conf}])
        assert decide(routes, traffic()) == (False, None)
        assert decide(routes, traffic(), "unreachable") == (True, 0)
        assert decide(routes, traffic(), "unreachable", "commendable") == (False, None)
        assert "user+4" in routes.dispatch(traffic(), ["unreachable"], now=0.0).results

    def test_a_reset_is_told(self):
        assert "port-reset" in table({**BOXED, "port-reset": True}).dispatch(traffic(), now=0.0).results
        assert "port-reset" in table(default="reset").dispatch(traffic(), now=0.0).results


class TestCounting:
    def test_the_nth_derogatory_boxes_until_the_duration_is_over(self):
        update = {"derog-thresh-for-penalty-boxing": 3, "penalty-box-duration": "10s"}
        routes = table(GREEN, **{"config-update": update})
        answers = [decide(routes, traffic(), "derogatory", now=float(n))[0] for n in range(3)]
        assert answers == [True, True, False]
        assert not decide(routes, traffic(), now=12.0)[0]
        assert decide(routes, traffic(), now=12.1)[0]
        assert decide(routes, traffic(), "derogatory", now=13.0)[0]

    def test_what_the_configuration_boxed_stays(self):
        routes = table(BOXED, **{"config-update": {"penalty-box-duration": "10s"}})
        assert not decide(routes, traffic(), now=1e9)[0]

    def test_commendable_counts_against_unless_ignored_and_may_clear(self):
        def run(**update: Any) -> list[bool]:
            routes = table(GREEN, **{"config-update": {"derog-thresh-for-penalty-boxing": 2, **update}})
            return [
                decide(routes, traffic(), word)[0] for word in ("derogatory", "commendable", "derogatory", "derogatory")
            ]

        assert run() == [True, True, True, False]
        assert run(**{"derog-thresh-ignore-commendable": True}) == [True, True, False, False]
        assert run(**{"commendable-clears-derogatory": True}) == [True, True, True, True]

    def test_so_many_connections_at_a_time(self):
        routes = table(GREEN, **{"config-update": {"max-connection-count": 2}})
        answers = [
            decide(routes, traffic(), word)[0] for word in ("connect", "connect", "connect", "disconnect", "connect")
        ]
        assert answers == [True, True, False, True, True]
        free = table(
            {**GREEN, "dont-count-current-connections": True}, **{"config-update": {"max-connection-count": 1}}
        )
        assert all(decide(free, traffic(), "connect")[0] for _ in range(3))


TRACKING = {
    "events": [
        {
            "label": "tracked",
            "priority": 1,
            "config": {
                "derog-thresh-for-penalty-boxing": 2,
                "penalty-box-duration": "10m",
                "route-idle-time-for-purge": "5m",
                "route-flags-to-add-on-insert": ["laddr-wild", "lport-wild", "rport-wild"],
            },
        },
        {"label": "generator", "priority": 5, "aux-parent-event": "tracked", "match-actions": ["own", TRACK]},
    ]
}


class TestTracking:
    """The action that is built in makes a route for the very source."""

    def test_one_source_is_boxed_and_its_neighbour_is_not(self):
        routes = table({**GREEN, "parent-event": "generator"}, **TRACKING)
        answers = [decide(routes, traffic(port=n), "derogatory", now=10.0 + n) for n in range(3)]
        assert answers == [(True, 0), (False, 1), (False, 1)]  # the one that makes the route is not counted
        assert decide(routes, traffic("10.0.0.2"), now=13.0) == (True, 0)

    def test_a_route_that_nobody_asks_for_ends(self):
        routes = table({**GREEN, "parent-event": "generator"}, **TRACKING)
        decide(routes, traffic("10.0.0.1"), now=10.0)
        decide(routes, traffic("10.0.0.2"), now=309.0)
        assert len(routes.routes) == 3
        decide(routes, traffic("10.0.0.2"), now=310.0)
        assert [r.remote.address[-1] for r in routes.routes if r.index] == [2]

    def test_a_hit_puts_the_end_off_by_the_idle_time_and_a_minute(self):
        routes = table({**GREEN, "parent-event": "generator"}, **TRACKING)
        for now in (10.0, 20.0, 379.0):
            decide(routes, traffic("10.0.0.1"), now=now)
        decide(routes, traffic("10.0.0.2"), now=600.0)
        assert len(routes.routes) == 3

    def test_there_are_no_more_of_them_than_allowed(self):
        update = {"config-update": {"max-purgeable-routes": 3}}
        routes = table({**GREEN, "parent-event": "generator"}, **TRACKING, **update)
        for last in range(50):
            decide(routes, traffic(f"10.0.0.{last}"), now=10.0 + last)
        assert len(routes.routes) == 4

    def test_the_default_event_makes_one_for_what_matches_nothing(self):
        events = [{"label": "tracked"}, {"label": "d", "aux-parent-event": "tracked", "post-actions": [TRACK]}]
        document = config(events=events)
        document["default-policies"]["default-event"] = "d"
        routes = RouteTable(read_config(document, file="f"))
        first, second = (routes.dispatch(traffic(), now=1.0) for _ in range(2))
        assert first.results == {"fallthrough", "reject", "inserted"}
        assert (first.route, second.route) == (None, 0)


class TestInsertion:
    def test_an_event_may_set_and_clear_flags_of_its_routes(self):
        conf = {"route-flags-to-add-on-insert": ["green-listed"], "route-flags-to-clear-on-insert": ["penalty-boxed"]}
        routes = table({**BOXED, "parent-event": "e"}, events=[{"label": "e", "config": conf}])
        assert decide(routes, traffic()) == (True, 0)

    def test_an_event_inherits_what_it_does_not_say(self):
        update = {"config-update": {"derog-thresh-for-penalty-boxing": 1}}
        events = [{"label": "e", "config": {"penalty-box-duration": 5}}]
        routes = table({**GREEN, "parent-event": "e"}, events=events, **update)
        assert not decide(routes, traffic(), "derogatory")[0]

    def test_the_faults_of_the_release_are_there_for_who_wants_them(self):
        document = config({**BOXED, **remote("10.0.0.0", 25)}, default="accept")
        mended, released = (RouteTable(read_config(document, file="f"), released=r) for r in (False, True))
        assert [decide(t, traffic("10.0.0.64"))[0] for t in (mended, released)] == [False, True]


class TestFormat:
    @settings(max_examples=100, deadline=None, phases=(Phase.generate,))
    @given(st.data())
    def test_a_dump_is_found_by_as_what_was_dumped(self, data):
        document = data.draw(configurations(released=False))
        try:
            routes = RouteTable(read_config(document, file="f"))
        except PolicyError:
            return  # two routes for the same traffic
        labels = [event["label"] for event in document["events"]]
        asked = data.draw(st.lists(questions(labels), max_size=10))
        for number, one in enumerate(asked):
            routes.dispatch(one.traffic, one.results, now=1.0 + number, event=one.event)
        again = RouteTable(read_config(dump(routes), file="g"))
        for one in asked:
            found = [t.find(one.traffic, one.results) for t in (routes, again)]
            described = [None if r is None else describe_route(r) | {"tcplike-port-numbers": True} for r in found]
            assert described[0] == described[1]

    def test_the_running_state_is_dumped_in_the_format_it_was_read_from(self):
        document = config(
            {**GREEN, "family": "inet", **remote("10.0.0.0", 8)},
            **{"config-update": {"derog-thresh-for-penalty-boxing": 1}},
        )
        routes = RouteTable(read_config(document, file="f"))
        assert dump(routes)["routes"] == document["routes"]
        routes.dispatch(traffic(), ["derogatory"], now=0.0)
        again = RouteTable(read_config(dump(routes), file="f"))
        assert decide(again, traffic()) == (False, 0)

    @pytest.mark.parametrize(
        ("document", "pointer"),
        [
            ({"wolfsentry-config-version": 2}, "/wolfsentry-config-version"),
            ({"wolfsentry-config-version": 1, "rules": []}, "/rules"),
            (config({"green-list": True}), "/routes/0/green-list"),
            (config(remote("10.0.0.0", 8, bitmask="255.0.0.0")), "/routes/0/remote"),
            (config(remote("10.0.0.0", 33)), "/routes/0"),
            (config({"parent-event": "none"}), "/routes/0"),
            (config({"direction-in": False}), "/routes/0"),
            (config({"raddr-wild": True, **remote("10.0.0.1")}), "/routes/0"),
            (config(remote("10.0.0.1"), {**GREEN, **remote("10.0.0.1", 32)}), "/routes/1"),
            (config(events=[{"label": "e"}, {"label": "e"}]), "/events/1/label"),
            (config(events=[{"label": "e", "aux-parent-event": "f"}]), "/events/0/aux-parent-event"),
            (config(**{"config-update": {"penalty-box-duration": "soon"}}), "/config-update/penalty-box-duration"),
        ],
    )
    def test_what_is_wrong_names_its_place(self, document, pointer):
        with pytest.raises(PolicyError) as caught:
            Policy.from_document(document)
        assert pointer in [p.pointer for p in caught.value.problems]


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


NTP = {**BOXED, "family": "inet", "protocol": "udp", **remote(port=123)}


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
    """What is no prefix rule is asked between the rules and the penalties."""

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
