# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench.key_isolation`: what a signature costs if the private key is in another process.

A TLS handshake needs one signature. ``here``: in the thread that asks. ``process``: in a process that holds the key,
asked over a socket pair. ``echo``: the same way without the signature. Medians of the rounds, interleaved.
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
SOURCE = Path(__file__).with_name("main.c")
BINARY = ROOT / ".build" / "bench" / "key_isolation"
WAYS = ("here", "process", "echo")


def build() -> None:
    """Compiles with the gateway's wolfSSL and optimisation level."""
    BINARY.parent.mkdir(parents=True, exist_ok=True)
    prefix = Path((ROOT / ".build" / "wolfssl").read_text().strip())
    flags = ["-std=gnu11", "-O3", "-Wall", "-Wextra", "-D_GNU_SOURCE", f"-I{prefix}/include"]
    command = [os.environ.get("CC", "cc"), *flags, SOURCE, "-o", BINARY, prefix / "lib" / "libwolfssl.a", "-lm"]
    subprocess.run(command, check=True)


def measure(way: str, seconds: float) -> tuple[float, float, float]:
    """Microseconds per signature: elapsed, processor time of both processes, and the longest one."""
    done = subprocess.run([BINARY, way, f"{seconds:g}"], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    count = found["signatures"] * 1e3
    return found["wall_ns"] / count, found["cpu_ns"] / count, found["worst_ns"] / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.key_isolation", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S", help="of each measurement (default 1)")
    wanted = parser.parse_args()
    build()
    machine = describe_machine()
    print(f"{machine['processor']}, Linux {machine['kernel']}, load average before {machine['load_before']}.\n")
    rounds = [{way: measure(way, wanted.seconds) for way in WAYS} for _ in range(wanted.rounds)]
    print("| signature | elapsed, us | processor, us | longest, us |")
    print("|---|--:|--:|--:|")
    for way in WAYS:
        cells = (statistics.median(one[way][column] for one in rounds) for column in range(3))
        print(f"| {way} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")


main()
