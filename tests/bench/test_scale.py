# SPDX-License-Identifier: GPL-3.0-or-later
"""The model of a larger machine: fitted exactly to lines, linear in its load, and it names what ends growth."""

from __future__ import annotations

import pytest

from bench.scale import Costs, Line, Load, demand, fit, limits

COSTS = Costs(idle=Line(0.01, 1e-6), traffic=Line(0.5, 0.1), login=1e-3, python=0.5e-3, session=10e3)


def test_a_line_is_found_again():
    assert fit([(1, 5.0), (2, 7.0), (4, 11.0)]) == Line(pytest.approx(3.0), pytest.approx(2.0))


@pytest.mark.parametrize("points", [[], [(1, 2.0)], [(1, 2.0), (1, 3.0)]])
def test_one_amount_makes_no_line(points):
    with pytest.raises(ValueError, match="two amounts"):
        fit(points)


def test_demand_counts_each_kind_of_work():
    assert demand(COSTS, Load(gbit=16, sessions=10_000, logins=200), workers=5) == {
        "traffic": pytest.approx(2 * 1.0),
        "idle sessions": pytest.approx(0.02),
        "logins": pytest.approx(0.2),
        "the event loop": pytest.approx(0.1),
    }


def test_traffic_ends_growth_where_logins_are_few():
    found = limits(COSTS, Load(gbit=16, sessions=0, logins=10), cores=5)
    assert found["all cores"] < found["the event loop's core"]
    assert found["all cores"] == pytest.approx(5 / 2.02)


def test_the_event_loop_ends_growth_of_logins():
    found = limits(COSTS, Load(gbit=0, sessions=0, logins=1000), cores=16)
    assert found["the event loop's core"] == pytest.approx(2.0)
    assert min(found, key=found.get) == "the event loop's core"


def test_without_logins_the_event_loop_limits_nothing():
    assert set(limits(COSTS, Load(gbit=1, sessions=1, logins=0), cores=1)) == {"all cores"}
