# SPDX-License-Identifier: GPL-3.0-or-later
"""The route table and libwolfsentry agree on the same configuration and traffic.

OCSENTRY_WOLFSENTRY_EXAMPLES sets the number of configurations.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sentry_engine import PolicyError
from sentry_engine.wolfsentry import Endpoint, Outcome, RouteTable, Traffic, read_config
from tests.sentry_engine.wolfsentry.strategies import Question, configurations, questions

try:
    from sentry_engine.wolfsentry.library import Library
except ImportError as error:
    pytest.skip(f"libwolfsentry is optional: {error}", allow_module_level=True)

EXAMPLES = int(os.environ.get("OCSENTRY_WOLFSENTRY_EXAMPLES", "200"))
BEGAN = 1_000_000.0


def is_as_released() -> bool:
    """True if the library has the faults of 1.6.3 as released: later sources have the same version."""
    document = {
        "wolfsentry-config-version": 1,
        "default-policies": {"default-policy": "accept"},
        "routes": [
            {
                "direction-in": True,
                "penalty-boxed": True,
                "family": "inet",
                "remote": {"address": "10.0.0.0", "prefix-bits": 25},
            }
        ],
    }
    library = Library(read_config(document, file="f"), now=BEGAN)
    answer = library.dispatch(Traffic(Endpoint("10.0.0.64"), Endpoint("10.0.0.1")), now=BEGAN)
    library.close()
    return answer.accepted


RELEASED = is_as_released()


def drop_doubles(document: dict[str, Any]) -> RouteTable | None:
    """The document's table without duplicate routes; ``None``: other problems."""
    while True:
        try:
            return RouteTable(read_config(document, file="f"), released=RELEASED, now=BEGAN)
        except PolicyError as error:
            doubles = {int(p.pointer.split("/")[2]) for p in error.problems if p.pointer.startswith("/routes/")}
            if not doubles:
                raise
            document["routes"] = [r for at, r in enumerate(document["routes"]) if at not in doubles]


def ask_both(ours: RouteTable, theirs: Library, asked: list[Question], start: float) -> list[tuple[Outcome, Outcome]]:
    now, answers = start, []
    for one in asked:
        now += one.seconds
        mine = ours.dispatch(one.traffic, one.results, now=now, event=one.event)
        answers.append((mine, theirs.dispatch(one.traffic, one.results, now=now, event=one.event)))
    return answers


def check_same(answers: list[tuple[Outcome, Outcome]], routes: int) -> None:
    """Equal results by the same route. Numbers of routes made at run time may differ, one to one."""
    numbers: dict[int, int] = {}
    for at, (mine, theirs) in enumerate(answers):
        assert mine.results == theirs.results, (at, mine, theirs)
        if mine.route is None or theirs.route is None or min(mine.route, theirs.route) < routes:
            assert mine.route == theirs.route, (at, mine, theirs)
        else:
            assert numbers.setdefault(mine.route, theirs.route) == theirs.route, (at, mine, theirs, numbers)
    assert len(set(numbers.values())) == len(numbers)


@settings(
    max_examples=EXAMPLES, deadline=None, phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck)
)
@given(st.data())
def test_the_library_answers_the_same(data):
    document = data.draw(configurations(released=RELEASED))
    ours = drop_doubles(document)
    labels = [event["label"] for event in document["events"]]
    asked = data.draw(st.lists(questions(labels), min_size=1, max_size=30))
    theirs = Library(read_config(document, file="f"), now=BEGAN)
    try:
        check_same(ask_both(ours, theirs, asked, BEGAN), len(document["routes"]))
    finally:
        theirs.close()
