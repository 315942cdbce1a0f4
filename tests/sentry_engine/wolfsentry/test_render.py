# SPDX-License-Identifier: GPL-3.0-or-later
"""Configurations: their errors, and the dump of a table."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sentry_engine import Policy, PolicyError
from sentry_engine.wolfsentry import RouteTable, dump, read_config
from sentry_engine.wolfsentry.render import describe_route
from tests.sentry_engine.wolfsentry.documents import GREEN, config, decide, remote, traffic
from tests.sentry_engine.wolfsentry.strategies import configurations, questions


class TestFormat:
    @settings(max_examples=100, deadline=None, phases=(Phase.generate,))
    @given(st.data())
    def test_a_dump_is_found_by_as_what_was_dumped(self, data):
        document = data.draw(configurations(released=False))
        try:
            routes = RouteTable(read_config(document, file="f"))
        except PolicyError:
            return  # duplicate routes
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
