# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench.engine`: the policy engine by itself, and other prefix tables in the same run.

Needs no root and no network. Prints a table and writes every figure to bench/results/.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.engine import figures
from bench.engine.figures import Figure
from bench.report import describe_machine

RESULTS = Path(__file__).resolve().parents[1] / "results"


def run(sizes: tuple[int, ...], folder: Path, seconds: float) -> Iterator[Figure]:
    for family in (4, 6):
        yield from figures.measure_decisions(family, sizes)
    yield from figures.measure_calls()
    yield from figures.measure_twin()
    yield from figures.measure_builds(sizes[-1], folder)
    yield from figures.measure_pause(folder, sizes[-1], seconds)
    yield from figures.measure_limiter()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="up to 10 000 prefixes, to see that it works")
    wanted = parser.parse_args()
    sizes = figures.SIZES[:3] if wanted.quick else figures.SIZES
    found: list[Figure] = []
    print(f"{'figure':<58} {'prefixes':>10}  {'':<14} {'value':>12}")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for figure in run(sizes, Path(folder), 0.5 if wanted.quick else 5.0):
            found.append(figure)
            print(
                f"{figure.name:<58} {figure.prefixes:>10}  {figure.who:<14} {figure.value:>12.4g} {figure.unit}",
                flush=True,
            )
    began = datetime.now(UTC)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"engine-{began:%Y%m%dT%H%M%SZ}.json"
    path.write_text(
        json.dumps(
            {"began": began.isoformat(), "machine": describe_machine(), "figures": [asdict(f) for f in found]}, indent=1
        )
    )
    print(path)


main()
