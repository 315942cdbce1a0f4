# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench.scale`: what a larger machine would carry, by a linear model of costs measured on a small one.

Linear in sessions, logins and bytes; the cost of a byte may grow with each worker. Not in the model: caches that become
too small, memory of several sockets (NUMA), interrupts of the network card, and smaller packets of clients.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

GB_PER_GBIT = 1 / 8


@dataclass(frozen=True, slots=True)
class Line:
    """``base`` and what each unit adds to it."""

    base: float
    each: float

    def at(self, amount: float) -> float:
        return self.base + self.each * amount


def fit(points: Sequence[tuple[float, float]]) -> Line:
    """Returns the line of least squares through (amount, cost). Raises ValueError with fewer than two amounts."""
    if len({amount for amount, _ in points}) < 2:
        raise ValueError("a line needs costs of at least two amounts")
    slope, intercept = statistics.linear_regression(*zip(*points, strict=True))
    return Line(intercept, slope)


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured costs of one kind of processor."""

    idle: Line  # cores, by sessions
    traffic: Line  # processor seconds per GB, by workers
    login: float  # processor seconds of all threads
    python: float  # of those, seconds of the event loop, which has one core
    session: float  # bytes


@dataclass(frozen=True, slots=True)
class Load:
    """What a machine is asked for."""

    gbit: float  # inner traffic per second, both ways together
    sessions: int
    logins: float  # per second


def demand(costs: Costs, load: Load, workers: int) -> dict[str, float]:
    """Returns the cores that each kind of work takes, and Python's part of its one core."""
    return {
        "traffic": load.gbit * GB_PER_GBIT * costs.traffic.at(workers),
        "idle sessions": costs.idle.at(load.sessions),
        "logins": load.logins * costs.login,
        "the event loop": load.logins * costs.python,
    }


def limits(costs: Costs, load: Load, cores: int) -> dict[str, float]:
    """Returns how many times ``load`` each resource of ``cores`` cores would carry; the smallest ends growth first."""
    wanted = demand(costs, load, cores)
    loop = wanted.pop("the event loop")
    found = {"all cores": cores / sum(wanted.values())}
    if loop:
        found["the event loop's core"] = 1 / loop
    return found


# AMD EPYC (Zen 5), 2 cores: docs/performance.md, "A larger machine".
MEASURED = Costs(
    idle=fit([(1000, 0.00288), (10_000, 0.0032)]),
    traffic=fit([(1, 0.54), (2, 0.57)]),
    login=0.46e-3,
    python=0.59 * 0.46e-3,
    session=22.0e3,
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--cores", type=int, default=16)
    parser.add_argument("--gbit", type=float, default=25.0, help="inner traffic of both ways (default %(default)s)")
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--logins", type=float, default=100.0, help="per second (default %(default)s)")
    wanted = parser.parse_args()
    load = Load(wanted.gbit, wanted.sessions, wanted.logins)
    for workers in 1, wanted.cores:
        print(f"cost of a byte as with {workers} workers:")
        for work, cores in demand(MEASURED, load, workers).items():
            print(f"  {work}: {cores:.2f} cores")
    for resource, times in limits(MEASURED, load, wanted.cores).items():
        print(f"{resource}: carries {times:.1f} times the load")
    print(f"memory of the sessions: {wanted.sessions * MEASURED.session / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
