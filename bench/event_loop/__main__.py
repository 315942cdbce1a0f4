# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench.event_loop`: the gateway's epoll loop and libuv on the same work, one thread, interleaved.

Both bounce 1 KB messages over socket pairs, one message per pair in flight. Needs libuv1-dev. The table shows medians
of the rounds; the ratio is the median of each round's own ratio, libuv over epoll.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
from pathlib import Path

from bench.machine import describe_machine

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).parent
BINARY = ROOT / ".build" / "bench" / "event_loop"
LOOPS = ("epoll", "libuv")
PAIRS = (1, 64, 1000)


def build() -> None:
    """Compiles both back ends with the gateway's optimisation level."""
    BINARY.parent.mkdir(parents=True, exist_ok=True)
    flags = ["-std=gnu11", "-O3", "-Wall", "-Wextra", "-D_GNU_SOURCE"]
    sources = sorted(SOURCES.glob("*.c"))
    subprocess.run([os.environ.get("CC", "cc"), *flags, *sources, "-o", BINARY, "-luv"], check=True)


def measure(loop: str, pairs: int, seconds: float) -> tuple[float, float]:
    """Returns messages per second and nanoseconds of processor time per message."""
    done = subprocess.run([BINARY, loop, str(pairs), f"{seconds:g}"], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    return found["messages"] / (found["wall_ns"] / 1e9), found["cpu_ns"] / found["messages"]


def compare(pairs: int, rounds: int, seconds: float) -> str:
    """Returns one row of the table. The order of the two loops alternates between rounds."""
    rates: dict[str, list[float]] = {loop: [] for loop in LOOPS}
    costs: dict[str, list[float]] = {loop: [] for loop in LOOPS}
    for number in range(rounds):
        for loop in LOOPS if number % 2 == 0 else reversed(LOOPS):
            rate, cost = measure(loop, pairs, seconds)
            rates[loop].append(rate)
            costs[loop].append(cost)
    ratio = statistics.median(theirs / ours for ours, theirs in zip(costs["epoll"], costs["libuv"], strict=True))
    cells = [f"{statistics.median(rates[loop]) / 1e3:.0f}" for loop in LOOPS]
    cells += [f"{statistics.median(costs[loop]):.0f}" for loop in LOOPS]
    return f"| {pairs} | {' | '.join(cells)} | {ratio:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.event_loop", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="of each measurement (default 2)")
    wanted = parser.parse_args()
    build()
    machine = describe_machine()
    print(f"{machine['processor']}, Linux {machine['kernel']}, load average before {machine['load_before']}.\n")
    print("| pairs | epoll, 1000 messages/s | libuv | epoll, CPU ns per message | libuv | libuv over epoll, CPU |")
    print("|--:|--:|--:|--:|--:|--:|")
    for pairs in PAIRS:
        print(compare(pairs, wanted.rounds, wanted.seconds), flush=True)


main()
