# SPDX-License-Identifier: GPL-3.0-or-later
"""Deadlines: what is due stays due until it is removed, and only what is due is looked at."""

from __future__ import annotations

from admin_api.enforcement.deadlines import Deadlines


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


class Untouched(dict):
    """A dictionary that is looked up and never walked."""

    def _refuse(self):
        raise AssertionError("all deadlines were walked")

    __iter__ = items = keys = values = _refuse
