# SPDX-License-Identifier: GPL-3.0-or-later
"""Saved runs of the engine's benchmark as reports, so that two of them are compared as runs of the servers are."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench import compare
from bench.report import Report
from bench.workload import Sample

if TYPE_CHECKING:
    from typing import Any

OURS = "ocsentry"
TOPIC = "The policy engine"


def to_report(document: dict[str, Any]) -> Report:
    """A figure by numbers of prefixes is several figures here. Counts are left out: fewer is not better."""
    report = Report(sorted({figure["who"] for figure in document["figures"]}), document["command"])
    report.began, report.machine = datetime.fromisoformat(document["began"]), document["machine"]
    for figure in document["figures"]:
        if figure["unit"]:
            sample = Sample(f"{figure['name']}, {figure['prefixes']} prefixes", figure["unit"], figure["value"])
            report.add(TOPIC, figure["who"], sample)
    return report


def compare_runs(before: Path, after: Path) -> int:
    """Prints both runs beside each other. Returns the exit code: 1 if a figure is worse."""
    first, second = (to_report(json.loads(path.read_text())) for path in (before, after))
    print(compare.render(first, second, OURS))
    return int(compare.is_worse(first, second, OURS))
