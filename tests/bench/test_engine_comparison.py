# SPDX-License-Identifier: GPL-3.0-or-later
"""Two saved runs of the engine's benchmark: figures by prefixes, and the exit code for one that is worse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def saved(tmp_path):
    """``saved(*values)``: the path of a run that measured one figure so often."""
    made = iter(range(9))

    def save(*values, processor="A"):
        decision = {"name": "a decision", "prefixes": 1000, "who": "ocsentry", "unit": "ns"}
        figures = [decision | {"value": value} for value in values]
        figures.append({"name": "swaps", "prefixes": 1000, "who": "ocsentry", "value": values[0], "unit": ""})
        path = tmp_path / f"engine-{next(made)}.json"
        run = {"began": "2026-11-30T17:00:00+00:00", "command": "c", "machine": {"processor": processor}}
        path.write_text(json.dumps(run | {"figures": figures}))
        return path

    return save


def run_compare(*paths):
    command = [sys.executable, "-m", "bench.engine", "--compare", *map(str, paths)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_slower_run_ends_with_1_and_names_the_figure(saved):
    ran = run_compare(saved(100.0, 101.0, 102.0), saved(110.0, 111.0, 112.0))
    assert ran.returncode == 1, ran.stderr
    assert "| a decision, 1000 prefixes | ns | 101 | 111 | 0.910 | 0.893 to 0.927 | worse |" in ran.stdout
    assert "swaps" not in ran.stdout


def test_faster_run_and_another_processor_end_with_0(saved):
    fast, slow = saved(100.0, 101.0, 102.0), saved(110.0, 111.0, 112.0)
    assert run_compare(slow, fast).returncode == 0
    elsewhere = run_compare(fast, saved(200.0, 200.0, 200.0, processor="B"))
    assert elsewhere.returncode == 0
    assert "nothing is judged" in elsewhere.stdout
