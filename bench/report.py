# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples of several rounds as medians and ratios, in a table and a JSON document."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.machine import describe_machine, describe_others, versions, was_quiet

if TYPE_CHECKING:
    from bench.workload import Sample


@dataclass(slots=True)
class Row:
    """One figure with the samples of every server."""

    topic: str
    name: str
    unit: str
    more_is_better: bool
    values: dict[str, list[float]] = field(default_factory=dict)

    def median(self, label: str) -> float | None:
        return statistics.median(self.values[label]) if self.values.get(label) else None

    def spread(self, label: str) -> float | None:
        """Returns half of the range of samples, as a share of the median."""
        values, median = self.values.get(label, []), self.median(label)
        return (max(values) - min(values)) / 2 / abs(median) if median and len(values) > 1 else None

    def cell(self, label: str) -> str:
        spread = self.spread(label)
        return shorten(self.median(label)) + (f" ±{100 * spread:.0f} %" if spread is not None else "")

    def advantage(self, ours: str, theirs: str) -> float | None:
        """Returns how many times better ``ours`` is; above 1 favours it."""
        mine, other = self.median(ours), self.median(theirs)
        if not mine or not other:
            return None
        return mine / other if self.more_is_better else other / mine


class Report:
    def __init__(self, labels: list[str], command: str) -> None:
        self.labels, self.command = labels, command
        self.rows: dict[str, Row] = {}
        self.remarks: list[str] = []
        self.others: list[float] = []  # other load between workloads: shares of all processors
        self.began = datetime.now(UTC)
        self.machine, self.versions = describe_machine(), versions()

    def add(self, topic: str, label: str, reading: Sample) -> None:
        row = self.rows.setdefault(reading.name, Row(topic, reading.name, reading.unit, reading.more_is_better))
        row.values.setdefault(label, []).append(reading.value)

    def tables(self) -> str:
        """Returns Markdown: one table per topic, then the failures."""
        topics = dict.fromkeys(row.topic for row in self.rows.values())
        return "\n\n".join([*(self._table(topic) for topic in topics), *self.remarks])

    def _table(self, topic: str) -> str:
        """Medians with their spread, and the first server's advantage over each other server."""
        rows = [row for row in self.rows.values() if row.topic == topic]
        ours, *others = self.labels
        others = [label for label in others if any(label in row.values for row in rows)]
        head = [ours, *(cell for label in others for cell in (label, "better by"))]
        lines = [f"### {topic}", "", f"| figure | unit | {' | '.join(head)} |", "|---|---|" + "--:|" * len(head)]
        for row in rows:
            cells = [row.cell(ours)]
            for label in others:
                advantage = row.advantage(ours, label)
                cells += [row.cell(label), f"{advantage:.2f} x" if advantage else ""]
            lines.append(f"| {row.name} | {row.unit} | {' | '.join(cells)} |")
        return "\n".join(lines)

    def heading(self) -> str:
        """Returns command, date, machine and versions."""
        facts = self.machine
        where = f"{facts['processor']}, {facts['cores']} cores, Linux {facts['kernel']}, Python {facts['python']}"
        beside = "".join(f", {program} {number}" for program, number in self.versions.items())
        said = [
            f"`{self.command}`, {self.began:%Y-%m-%d}, {where}{beside}.",
            "Medians of the rounds; ± is half of what lies between the lowest and the highest.",
            f"Load average before it began, at most: {facts['load_before']}.",
            describe_others(self.others),
            "" if was_quiet(self.others) else "**The machine was not quiet: do not trust these figures.**",
        ]
        return " ".join(filter(None, said))

    def document(self) -> dict[str, Any]:
        return {
            "began": self.began.isoformat(timespec="seconds"),
            "command": self.command,
            "machine": self.machine,
            "versions": self.versions,
            "others": self.others,
            "servers": self.labels,
            "figures": [
                {
                    "topic": row.topic,
                    "name": row.name,
                    "unit": row.unit,
                    "more_is_better": row.more_is_better,
                    "readings": row.values,
                    "median": {label: row.median(label) for label in row.values},
                    "spread": {label: row.spread(label) for label in row.values},
                }
                for row in self.rows.values()
            ],
            "remarks": self.remarks,
        }

    @classmethod
    def load(cls, paths: list[Path]) -> Report:
        """Merges saved reports into one. A figure of several has all their samples."""
        documents = [json.loads(path.read_text()) for path in paths]
        servers = dict.fromkeys(label for document in documents for label in document["servers"])
        report = cls(list(servers), "; ".join(document["command"] for document in documents))
        report.began = datetime.fromisoformat(documents[0]["began"])
        busiest = max(document["machine"]["load_before"] for document in documents)
        report.machine = documents[0]["machine"] | {"load_before": busiest}
        report.versions = documents[0].get("versions", {})
        for document in documents:
            report.remarks += document["remarks"]
            report.others += document.get("others", [])
            for figure in document["figures"]:
                row = Row(figure["topic"], figure["name"], figure["unit"], figure["more_is_better"])
                for label, values in figure["readings"].items():
                    report.rows.setdefault(row.name, row).values.setdefault(label, []).extend(values)
        return report

    def save(self, folder: Path, prefix: str = "") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{prefix}{self.began:%Y%m%dT%H%M%SZ}.json"
        path.write_text(json.dumps(self.document(), indent=1) + "\n")
        return path


def replace_figures(document: Path, marks: tuple[str, str], figures: str) -> None:
    """Replaces the text between two marks of the document."""
    text = document.read_text()
    head, rest = text.split(marks[0])
    tail = rest.split(marks[1])[1]
    document.write_text(f"{head}{marks[0]}\n{figures}\n{marks[1]}{tail}")


def shorten(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 100 else f"{value:.3g}"
