# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark makes of its readings: medians with their spread, ratios, and a word on whether to trust them."""

from __future__ import annotations

import json

import pytest

from bench import machine
from bench.plot import render
from bench.report import Report, replace_figures
from bench.workload import Sample

LABELS = ["ours", "peer", "third"]
UNTRUSTED = "do not trust these figures"


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setattr(machine, "VERSIONS", {})  # of other programs: whatever is installed here
    return Report(LABELS, "python -m bench")


def add(report: Report, name: str, values: dict[str, list[float]], *, more: bool = False, topic: str = "Topic") -> None:
    for label, readings in values.items():
        for value in readings:
            report.add(topic, label, Sample(name, "s", value, more))


def cells(report: Report, name: str) -> list[str]:
    row = next(line for line in report.tables().splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_a_cell_is_the_median_and_half_of_the_way_between_the_extremes(report: Report):
    add(report, "cost", {"ours": [1.0, 2.0, 1.2], "peer": [3.0]})

    assert cells(report, "cost") == ["cost", "s", "1.2 ±42 %", "3", "2.50 x"]


@pytest.mark.parametrize(("more", "factor"), [(True, "0.50 x"), (False, "2.00 x")])
def test_more_than_one_is_always_in_favour_of_the_first(report: Report, more: bool, factor: str):
    add(report, "result", {"ours": [5.0], "peer": [10.0]}, more=more)

    assert cells(report, "result")[-1] == factor


def test_a_server_has_columns_where_it_was_measured_only(report: Report):
    add(report, "both", {"ours": [1.0], "peer": [2.0]}, topic="A")
    add(report, "all", {"ours": [1.0], "peer": [2.0], "third": [4.0]}, topic="B")
    add(report, "not the third", {"ours": [1.0], "peer": [2.0]}, topic="B")

    assert cells(report, "both") == ["both", "s", "1", "2", "2.00 x"]
    assert cells(report, "all") == ["all", "s", "1", "2", "2.00 x", "4", "4.00 x"]
    assert cells(report, "not the third") == ["not the third", "s", "1", "2", "2.00 x", "", ""]


def test_nothing_lost_has_neither_spread_nor_ratio(report: Report):
    add(report, "lost", {"ours": [0.0, 0.0], "peer": [1.0, 3.0]})

    assert cells(report, "lost") == ["lost", "s", "0", "2 ±50 %", ""]


@pytest.mark.parametrize(
    ("others", "trusted"),
    [([], True), ([0.01] * 10, True), ([0.01] * 9 + [0.9], True), ([0.01] * 8 + [0.5, 0.9], False), ([0.3], False)],
)
def test_a_busy_machine_is_told_beside_the_figures(report: Report, others: list[float], trusted: bool):
    report.others = others

    assert (UNTRUSTED not in report.heading()) == trusted


def test_runs_read_back_are_one_report_with_all_that_they_saw(report: Report, tmp_path):
    add(report, "cost", {"ours": [1.0], "peer": [4.0]})
    report.others, report.versions = [0.0], {"peer": "1.2"}
    second = report.document() | {"others": [0.5, 0.5], "command": "again", "remarks": ["one measure failed"]}
    second["figures"] = [second["figures"][0] | {"readings": {"ours": [3.0], "third": [8.0]}}]
    paths = [report.save(tmp_path / "first"), tmp_path / "second.json"]
    paths[1].write_text(json.dumps(second))

    both = Report.load(paths)

    assert cells(both, "cost") == ["cost", "s", "2 ±50 %", "4", "2.00 x", "8", "4.00 x"]
    assert UNTRUSTED in both.heading()
    assert "peer 1.2" in both.heading()
    assert both.tables().endswith("one measure failed")


def test_the_plot_says_whom_a_bar_is_about(report: Report):
    add(report, "cost <x>", {"ours": [1.0], "peer": [2.0], "third": [4.0]})

    drawn = render(report)

    assert drawn.count("<rect") == 3  # the ground and a bar for each peer
    assert "cost &lt;x&gt;</text>" in drawn
    assert "cost &lt;x&gt; (third)</text>" in drawn


def test_published_figures_take_the_place_of_those_between_the_marks(tmp_path):
    document = tmp_path / "document.md"
    document.write_text("before <!-- a -->\nold\n<!-- b --> after\n")

    replace_figures(document, ("<!-- a -->", "<!-- b -->"), "new")

    assert document.read_text() == "before <!-- a -->\nnew\n<!-- b --> after\n"


def test_time_stolen_by_the_host_counts_as_busy_and_waiting_does_not(monkeypatch: pytest.MonkeyPatch, tmp_path):
    ticks = tmp_path / "stat"
    ticks.write_text("cpu  100 10 200 9000 900 1 2 50 70 0\ncpu0 …\n")
    monkeypatch.setattr(machine, "STATISTICS", ticks)

    assert machine.busy_seconds() * machine.TICKS == 100 + 10 + 200 + 1 + 2 + 50
