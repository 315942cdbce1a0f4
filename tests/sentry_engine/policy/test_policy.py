# SPDX-License-Identifier: GPL-3.0-or-later
"""What several files may not say together."""

from __future__ import annotations

import pytest

from sentry_engine import Engine, Policy, PolicyError
from sentry_engine.verdict import MAX_CUSTOM_EVENTS

A_FILE = 60  # events


def documents(count: int) -> dict[str, dict[str, object]]:
    events = [{"label": f"event{number}", "max_events": 3, "window_sec": 60} for number in range(count)]
    return {
        f"part{first}": {"wolfsentry": {"version": "1", "rules": [], "events": events[first : first + A_FILE]}}
        for first in range(0, count, A_FILE)
    }


def test_as_many_custom_events_as_an_engine_numbers_are_limited():
    engine = Engine(Policy.load(documents=documents(MAX_CUSTOM_EVENTS)), clock=lambda: 0.0)
    try:
        last = f"event{MAX_CUSTOM_EVENTS - 1}"
        assert [engine.decide(last, "192.0.2.1").accepted for _ in range(4)] == [True, True, True, False]
    finally:
        engine.close()


def test_one_more_is_refused_with_its_file():
    with pytest.raises(PolicyError) as refused:
        Policy.load(documents=documents(MAX_CUSTOM_EVENTS + 1))
    (problem,) = refused.value.problems
    assert (problem.file, problem.pointer) == (f"part{MAX_CUSTOM_EVENTS}", "/wolfsentry/events")
    assert str(MAX_CUSTOM_EVENTS) in problem.reason
