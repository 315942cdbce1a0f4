# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench.engine`: the policy engine alone, and other prefix tables in the same run.

Requires neither root nor network. Prints a table and writes every figure to bench/results/.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.engine import figures
from bench.engine.comparison import compare_runs
from bench.engine.documents import measure_documents
from bench.engine.figures import Figure
from bench.engine.wolfsentry_peer import measure_wolfsentry
from bench.machine import describe_machine
from bench.report import replace_figures, shorten

RESULTS = Path(__file__).resolve().parents[1] / "results"
DOCUMENT = Path(__file__).resolve().parents[2] / "docs/performance/engine.md"
MARKS = ("<!-- engine figures -->", "<!-- end of engine figures -->")


def parts(sizes: tuple[int, ...], folder: Path, seconds: float) -> dict[str, Callable[[], Iterator[Figure]]]:
    return {
        "ipv4": lambda: figures.measure_decisions(4, sizes),
        "ipv6": lambda: figures.measure_decisions(6, sizes),
        "calls": figures.measure_calls,
        "reference": figures.measure_reference,
        "documents": lambda: measure_documents(sizes[-1], folder),
        "builds": lambda: figures.measure_builds(sizes[-1], folder),
        "pause": lambda: figures.measure_pause(folder, sizes[-1], seconds),
        "limiter": figures.measure_limiter,
        "wolfsentry": measure_wolfsentry,
    }


def run(wanted: list[str], sizes: tuple[int, ...], seconds: float) -> Iterator[Figure]:
    """One round of the wanted parts."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for name, part in parts(sizes, Path(folder), seconds).items():
            if not wanted or name in wanted:
                yield from part()


def save(found: list[Figure], began: datetime, machine: dict[str, Any]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"engine-{began:%Y%m%dT%H%M%SZ}.json"
    command = f"python -m bench.engine {' '.join(sys.argv[1:])}".strip()
    document = {"began": began.isoformat(), "command": command, "machine": machine, "figures": list(map(asdict, found))}
    path.write_text(json.dumps(document, indent=1))
    return path


def publish(paths: list[Path]) -> None:
    """Replaces the engine's figures in the document by those of the runs in ``paths``."""
    runs = [json.loads(path.read_text()) for path in paths]
    found = [Figure(**figure) for one in runs for figure in one["figures"]]
    machine = runs[0]["machine"]
    where = f"{machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}, Python {machine['python']}"
    commands = "; ".join(f"`{one['command']}`" for one in runs)
    heading = f"{commands}, {runs[0]['began'][:10]}, {where}. Fastest round of each."
    replace_figures(DOCUMENT, MARKS, f"{heading}\n\n{render(found)}")


def render(found: list[Figure]) -> str:
    """Returns two Markdown tables: figures with several numbers of prefixes by column, then the others.

    Of several rounds each figure is the lowest.
    """
    rows: dict[tuple[str, str, str], dict[int, float]] = {}
    for figure in found:
        values = rows.setdefault((figure.name, figure.who, figure.unit), {})
        values[figure.prefixes] = min(figure.value, values.get(figure.prefixes, figure.value))
    sizes = sorted({size for values in rows.values() if len(values) > 1 for size in values})
    lines = [f"| prefixes | of | unit | {' | '.join(f'{size:,}'.replace(',', ' ') for size in sizes)} |"]
    lines.append("|---|---|---|" + "--:|" * len(sizes))
    for (name, who, unit), values in rows.items():
        if len(values) > 1:
            lines.append(f"| {name} | {who} | {unit} | {' | '.join(shorten(values.get(size)) for size in sizes)} |")
    lines += ["", "| figure | of | prefixes | value |", "|---|---|--:|--:|"]
    for (name, who, unit), values in rows.items():
        if len(values) == 1:
            (size, value), *_ = values.items()
            lines.append(f"| {name} | {who} | {shorten(size)} | {shorten(value)} {unit} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("part", nargs="*", help=f"one or more of {', '.join(parts((1,), Path(), 0.0))}; default: all")
    parser.add_argument("--quick", action="store_true", help="up to 10 000 prefixes, as a check")
    parser.add_argument(
        "--publish", nargs="+", type=Path, metavar="RUN", help=f"write the figures of earlier runs into {DOCUMENT.name}"
    )
    parser.add_argument("--rounds", type=int, default=1, help="of everything (default 1; --compare judges from 3 on)")
    parser.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("A", "B"),
        help="measure nothing; show the change from results A to B, and end with 1 if a figure is worse",
    )
    wanted = parser.parse_args()
    if wanted.compare:
        sys.exit(compare_runs(*wanted.compare))
    if wanted.publish:
        publish(wanted.publish)
        return
    began, machine = datetime.now(UTC), describe_machine()
    found: list[Figure] = []
    print(f"{'figure':<58} {'prefixes':>10}  {'':<14} {'value':>12}")
    sizes, seconds = (figures.SIZES[:3], 0.5) if wanted.quick else (figures.SIZES, 5.0)
    for figure in (one for _ in range(wanted.rounds) for one in run(wanted.part, sizes, seconds)):
        found.append(figure)
        print(
            f"{figure.name:<58} {figure.prefixes:>10}  {figure.who:<14} {figure.value:>12.4g} {figure.unit}",
            flush=True,
        )
    print(save(found, began, machine))


main()
