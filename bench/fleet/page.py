# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of a fleet as Markdown, and their sections in docs/fleet.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.fleet import model
from bench.fleet.setups import SQLITE
from bench.report import replace_figures

if TYPE_CHECKING:
    from bench.report import Report, Row

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "fleet.md"
FIGURES = ("<!-- fleet figures -->", "<!-- end of fleet figures -->")
MODEL = ("<!-- fleet model -->", "<!-- end of fleet model -->")


def tables(report: Report) -> str:
    """One table per topic, then remarks. A ratio to a single server on SQLite follows where that has one."""
    topics = dict.fromkeys(row.topic for row in report.rows.values())
    return "\n\n".join([*(_table(report, topic) for topic in topics), *report.remarks])


def _table(report: Report, topic: str) -> str:
    rows = [row for row in report.rows.values() if row.topic == topic]
    labels = [label for label in report.labels if any(label in row.values for row in rows)]
    head = [f"| {topic} | unit | {' | '.join(labels)} |", "|---|---|" + "--:|" * len(labels)]
    cells = (f"| {row.name} | {row.unit} | {' | '.join(_cell(row, label) for label in labels)} |" for row in rows)
    return "\n".join([*head, *cells])


def _cell(row: Row, label: str) -> str:
    value, base = row.median(label), row.median(SQLITE)
    ratio = f" ({value / base:.2f} x)" if value is not None and base and label != SQLITE else ""
    return row.cell(label) + ratio


def publish(report: Report) -> None:
    """Write figures and model into the document. Raises ``KeyError`` if the report lacks an input of the model."""
    replace_figures(DOCUMENT, FIGURES, f"{report.heading()}\n\n{tables(report)}")
    replace_figures(DOCUMENT, MODEL, model.render(model.Inputs.of(report)))
