# SPDX-License-Identifier: GPL-3.0-or-later
"""Deadlines: what is due stays due until it is removed, and only what is due is looked at."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sentry_engine.deadlines import SPARE, Deadlines


def test_what_is_due_stays_due_until_it_is_removed():
    deadlines = Deadlines()
    for name, at in (("late", 30.0), ("first", 10.0), ("second", 20.0), ("first", 10.0)):
        deadlines.set_deadline(name, at)
    assert deadlines.due_names(9.0) == []
    assert deadlines.due_names(20.0) == ["first", "second"]
    assert deadlines.due_names(20.0) == ["first", "second"]
    deadlines.set_deadline("first", None)
    deadlines.set_deadline("second", 40.0)
    assert deadlines.due_names(20.0) == []
    assert deadlines.next_deadline() == 30.0
    assert deadlines.due_names(50.0) == ["late", "second"]


def test_many_that_are_not_due_cost_nothing():
    deadlines = Deadlines()
    for number in range(1000):
        deadlines.set_deadline(f"later {number}", 100.0 + number)
    deadlines.set_deadline("now", 1.0)
    deadlines._current = Untouched(deadlines._current)
    assert deadlines.due_names(2.0) == ["now"]


def test_deadlines_that_move_often_leave_a_bounded_heap():
    deadlines = Deadlines()
    for number in range(10_000):
        deadlines.set_deadline(f"{number % 10}", float(number))
    assert len(deadlines) == 10
    assert len(deadlines._heap) <= 2 * 10 + SPARE + 1
    for number in range(10):
        deadlines.set_deadline(f"{number}", None)
    assert len(deadlines._heap) <= SPARE + 1
    assert deadlines.due_names(1e9) == []


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 20), st.integers(0, 20)), max_size=200))
def test_random_deadlines_are_those_of_a_plain_table(steps):
    deadlines, plain = Deadlines(), {}
    for name, deadline, now in steps:
        deadlines.set_deadline(name, deadline)
        plain[name] = deadline
        known = sorted((at, each) for each, at in plain.items() if at is not None)
        assert deadlines.due_names(now) == [each for at, each in known if at <= now]
        assert deadlines.next_deadline() == (known[0][0] if known else None)
        assert deadlines.get(name) == deadline
        assert sorted(deadlines.items()) == sorted((each, at) for at, each in known)


class Untouched(dict):
    """A dictionary that is looked up and never walked."""

    def _refuse(self):
        raise AssertionError("all deadlines were walked")

    __iter__ = items = keys = values = _refuse
