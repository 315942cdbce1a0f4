# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper model of a fleet's database: it adds up, grows as it should, and names what is the first to stop it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.fleet.database import database
from bench.fleet.model import CORES, USABLE, Inputs, Load, demand, loads, render
from bench.fleet.page import FIGURES, MODEL, publish, tables
from bench.fleet.setups import NODES, ONE, POSTGRESQL, SQLITE, THREE
from bench.report import Report
from bench.workload import Sample

NONE = Inputs(*[0.0] * 15)
LOGIN_CPU = "logins to an open tunnel: PostgreSQL's CPU each"


@pytest.fixture(scope="module")
def report():
    """A real PostgreSQL's costs of few calls, beside figures of servers that were not measured."""
    made = Report(list(NODES), "python -m bench.fleet")
    for sample in database(20):
        made.add("Calls", THREE, sample)
    for label, value in ((THREE, 3.0), (ONE, 2.0), (POSTGRESQL, 1.5), (SQLITE, 1.0)):
        made.add("Logins", label, Sample("a login", "ms", value))
    made.add("Logins", ONE, Sample(LOGIN_CPU, "ms", 1.5))
    return made


def test_each_call_costs_the_database_something(report):
    costs = Inputs.of(report)
    assert costs.login == 0.0015
    for name in Inputs.__slots__:
        assert getattr(costs, name) > 0, name
    assert costs.admit_wal > costs.beat_wal, "an admission writes more than a beat"


def test_each_part_is_rate_times_cost():
    costs = replace(NONE, beat=1e-4, admit=2e-4, release=1e-4, claim=1e-3, publish=1e-3, read=1e-5, notification=2e-5)
    found = demand(costs, Load(100, 1000, logins=10, claims=5, changes=2))
    expected = {"beats": 0.02, "logins": 0.003, "claims": 0.005, "changes": 2 * (1e-3 + 100 * 3e-5)}
    assert found.cores == pytest.approx(expected)
    assert found.all_cores == pytest.approx(sum(expected.values()))


def test_the_fullest_limit_is_named():
    many = Load(1000, 0, logins=0, changes=0)
    busy = replace(NONE, beat=1.0)
    assert demand(busy, many).walls["processors"] == pytest.approx(2000 / (CORES * USABLE))
    wide = replace(NONE, connection=10e6)
    walls = demand(wide, many).walls
    assert max(walls, key=lambda name: walls[name]) == "memory of connections"
    assert "memory of connections" in render(wide)
    assert all(name in render(wide) for name in loads())


def test_figures_are_beside_a_single_server_and_published_with_the_model(report, tmp_path, monkeypatch):
    assert "| a login | ms | 3 (3.00 x) | 2 (2.00 x) | 1.5 (1.50 x) | 1 |" in tables(report)
    document = tmp_path / "fleet.md"
    document.write_text("\n".join(["alpha", *FIGURES, "beta", *MODEL, "gamma"]))
    monkeypatch.setattr("bench.fleet.page.DOCUMENT", document)
    publish(report)
    text = document.read_text()
    assert tables(report) in text
    assert render(Inputs.of(report)) in text
    assert [text.count(word) for word in ("alpha", "beta", "gamma")] == [1, 1, 1]
