# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench.fleet`: what a fleet costs beside single servers, and what it costs its database.

Measures fleets of three nodes and of one, and single servers on PostgreSQL and on SQLite, interleaved in one run. All
run on this machine, so three nodes have no more processors than one: compare the costs. Requires root and Debian's
PostgreSQL. Prints tables and writes every sample to bench/results/.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench import compare, load_client
from bench.fleet import page
from bench.fleet.database import database
from bench.fleet.logins import idle, logins, waits
from bench.fleet.propagation import propagation
from bench.fleet.setups import NODES, THREE, Setups
from bench.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.fleet.setups import Setup
    from bench.workload import Sample

RESULTS = Path(__file__).resolve().parents[1] / "results"
WHOLE = {"logins": ("Logins", logins), "waits": ("Logins", waits), "idle": ("Beats", idle)}
PARTS = [*WHOLE, "propagation", "database"]
PREFIX = "fleet-"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__)
    parser.add_argument(
        "part", nargs="*", choices=[[], *PARTS], metavar="part", help=f"of {', '.join(PARTS)}; default: all"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of each part (default 3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement (default 3)")
    parser.add_argument("--samples", type=int, default=40, help="blocks of a round (default 40)")
    parser.add_argument("--calls", type=int, default=5000, help="of each kind on the database (default 5000)")
    parser.add_argument("--quick", action="store_true", help="one short round, as a check")
    parser.add_argument(
        "--load", type=Path, nargs="+", metavar="FILE", help="measure nothing; show the results in FILEs as one report"
    )
    parser.add_argument(
        "--compare",
        type=Path,
        nargs=2,
        metavar=("A", "B"),
        help="measure nothing; show the change from results A to B, and end with 1 if a figure is worse by more than "
        f"{100 * compare.WORSE:.0f} %% beyond its bounds",
    )
    parser.add_argument(
        "--publish", action="store_true", help=f"write figures and the model made of them into {page.DOCUMENT.name}"
    )
    wanted = parser.parse_args()
    if wanted.quick:
        wanted.rounds, wanted.seconds, wanted.samples, wanted.calls = 1, 1.0, 4, 200
    return wanted


def main() -> None:
    wanted = arguments()
    if wanted.compare:
        sys.exit(compare_runs(*wanted.compare))
    report = Report.load(wanted.load) if wanted.load else take(wanted, wanted.part or PARTS)
    print(page.tables(report))
    if wanted.publish:
        page.publish(report)


def take(wanted: argparse.Namespace, parts: list[str]) -> Report:
    report = Report(list(NODES), f"python -m bench.fleet {' '.join(sys.argv[1:])}".strip())
    load_client.build()
    try:
        if "database" in parts:
            for _ in range(wanted.rounds):
                _add(report, "Calls of the database", THREE, database(wanted.calls))
        if whole := [name for name in parts if name != "database"]:
            _measure_servers(report, whole, wanted)
    finally:
        print(report.save(RESULTS, PREFIX), file=sys.stderr)
    return report


def _measure_servers(report: Report, parts: list[str], wanted: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        setups = Setups(folder, NODES if set(parts) & set(WHOLE) else [THREE])
        try:
            for part in (one for one in WHOLE if one in parts):
                topic, measure = WHOLE[part]
                _interleave(
                    report, topic, part, setups.all, wanted.rounds, lambda one, do=measure: do(one, wanted.seconds)
                )
            if "propagation" in parts:  # the last: it takes the notifications away
                _add(report, "Propagation", THREE, propagation(setups.all[0], wanted.samples * wanted.rounds))
        finally:
            setups.close()


def _interleave(
    report: Report,
    topic: str,
    part: str,
    setups: list[Setup],
    rounds: int,
    measure: Callable[[Setup], Iterator[Sample]],
) -> None:
    for number in range(rounds):
        for setup in setups if number % 2 == 0 else reversed(setups):
            print(f"{part}, round {number + 1}: {setup.label}", file=sys.stderr)
            report.others.append(setup.settle())
            _add(report, topic, setup.label, measure(setup))


def _add(report: Report, topic: str, label: str, samples: Iterator[Sample]) -> None:
    for sample in samples:
        report.add(topic, label, sample)


def compare_runs(before: Path, after: Path) -> int:
    """Returns the exit code. Each kind of server is compared with itself."""
    first, second = Report.load([before]), Report.load([after])
    labels = [label for label in first.labels if any(label in row.values for row in first.rows.values())]
    print("\n\n".join(compare.render(first, second, label) for label in labels))
    worse = [label for label in labels if compare.is_worse(first, second, label)]  # each has to have a figure in common
    return int(bool(worse))


main()
