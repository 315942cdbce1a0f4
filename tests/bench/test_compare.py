# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs beside each other: what counts as worse, and what is not judged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import machine
from bench.compare import compare, is_worse, render
from bench.report import Report
from bench.workload import Sample

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(monkeypatch):
    """``run(readings, more=..., processor=...)``: a report with one figure of ``ours``."""
    monkeypatch.setattr(machine, "VERSIONS", {})

    def make(readings, *, more=False, processor="A", name="cost"):
        report = Report(["ours", "peer"], "python -m bench")
        report.machine["processor"] = processor
        for value in readings:
            report.add("Topic", "ours", Sample(name, "s", value, more))
            report.add("Topic", "peer", Sample(name, "s", 1.0, more))
        return report

    return make


@pytest.mark.parametrize(
    ("more", "first", "second", "verdict"),
    [
        (False, [1.0, 1.01, 1.02], [1.07, 1.08, 1.09], "worse"),
        (True, [1.0, 1.01, 1.02], [1.07, 1.08, 1.09], "better"),
        (True, [1.07, 1.08, 1.09], [1.0, 1.01, 1.02], "worse"),
        (False, [1.0, 1.01, 1.02], [1.03, 1.04, 1.05], ""),
        (False, [1.0, 1.2, 1.4], [1.3, 1.5, 1.7], ""),
        (False, [1.0, 1.01], [2.0, 2.0], "few rounds"),
        (False, [1.0, 1.0, 1.0], [2.0, 2.0], "few rounds"),
    ],
)
def test_worse_is_what_no_pair_of_readings_explains(run, more, first, second, verdict):
    before, after = run(first, more=more), run(second, more=more)
    (change,) = compare(before, after, "ours")
    assert change.verdict == verdict
    assert change.low <= change.ratio <= change.high
    assert is_worse(before, after, "ours") == (verdict == "worse")


def test_a_figure_of_nothing_is_left_out(run):
    assert compare(run([0.0, 0.0, 1.0]), run([1.0, 1.0, 1.0]), "ours") == []


def test_runs_without_a_common_figure_are_an_error(run):
    with pytest.raises(ValueError, match="no figure of ours in common"):
        is_worse(run([1.0]), run([1.0], name="another"), "ours")


def test_different_processors_are_shown_and_not_judged(run):
    before, after = run([1.0] * 3), run([2.0] * 3, processor="B")
    assert not is_worse(before, after, "ours")
    said = render(before, after, "ours")
    assert "| cost | s | 1 | 2 | 0.500 | 0.500 to 0.500 |  |" in said
    assert "on A, beside" in said
    assert said.endswith("Different processors: nothing is judged.")


@pytest.mark.parametrize(("second", "code"), [([2.0] * 3, 1), ([1.0] * 3, 0)])
def test_the_command_ends_with_1_if_a_figure_is_worse(run, tmp_path, second, code):
    files = [run([1.0] * 3).save(tmp_path / "a"), run(second).save(tmp_path / "b")]
    command = [sys.executable, "-m", "bench", "--compare", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert f"{code} of 1 figures are worse" in done.stdout
