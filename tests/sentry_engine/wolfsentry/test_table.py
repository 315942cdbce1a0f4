# SPDX-License-Identifier: GPL-3.0-or-later
"""The route table: lookup, counters, tracking and insertion as wolfSentry 1.6.3."""

from __future__ import annotations

from typing import Any

import pytest

from sentry_engine.wolfsentry import Endpoint, RouteTable, Traffic, read_config
from tests.sentry_engine.wolfsentry.documents import (
    BOXED,
    GREEN,
    TRACK,
    TRACKING,
    config,
    decide,
    remote,
    table,
    traffic,
)


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


class TestTracking:
    """The built-in action inserts a route for the source."""

    def test_one_source_is_boxed_and_its_neighbour_is_not(self):
        routes = table({**GREEN, "parent-event": "generator"}, **TRACKING)
        answers = [decide(routes, traffic(port=n), "derogatory", now=10.0 + n) for n in range(3)]
        assert answers == [(True, 0), (False, 1), (False, 1)]  # the request that inserts the route is not counted
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
