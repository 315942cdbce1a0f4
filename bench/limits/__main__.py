# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench.limits`: the parts of which a server's cost is made, each alone in one thread, in C.

What a server costs beyond these is its own. AES-256-GCM and P-256 are those of the gateway. The paths carry
what TCP brings to a TUN device as UDP packets in large pieces, and back, in a namespace of their own. Requires root.
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
NATIVE = ROOT / "vpn_frontend" / "native"
GCM = [NATIVE / "aes_gcm" / "aes_gcm.c", NATIVE / "aes_gcm" / "vaes_gcm.c"]
BINARY = ROOT / ".build" / "bench" / "limits"
WAYS = {
    "aes": "AES-256-GCM of records of 16 KB",
    "aes-packet": "AES-256-GCM of records of 1400 bytes",
    "up": "TCP socket to TUN device, nothing else",
    "down": "TUN device to TCP socket, nothing else",
    "sign": "P-256: one signature",
    "agree": "P-256: a key pair and a shared secret",
}


def build() -> Path:
    """Compiles with the gateway's wolfSSL and optimisation level."""
    BINARY.parent.mkdir(parents=True, exist_ok=True)
    prefix = Path((ROOT / ".build" / "wolfssl").read_text().strip())
    flags = ["-std=gnu11", "-O3", "-Wall", "-Wextra", "-D_GNU_SOURCE", f"-I{prefix}/include", f"-I{NATIVE}"]
    wrapped = f"-Wl,@{NATIVE}/aes_gcm/aes_gcm.wrap"
    libraries = [str(prefix / "lib" / "libwolfssl.a"), "-lm", "-lpthread"]
    subprocess.run([os.environ.get("CC", "cc"), *flags, SOURCE, *GCM, "-o", BINARY, wrapped, *libraries], check=True)
    return BINARY


def measure(way: str, seconds: float) -> tuple[float, str]:
    """Processor time: seconds per GB, or microseconds each."""
    done = subprocess.run([BINARY, way, f"{seconds:g}"], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    if found["bytes"]:
        return found["cpu_ns"] / found["bytes"], "s per GB"
    return found["cpu_ns"] / found["done"] / 1e3, "us each"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.limits", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S", help="of each measurement (default 1)")
    wanted = parser.parse_args()
    build()
    machine = describe_machine()
    print(f"{machine['processor']}, Linux {machine['kernel']}, load average before {machine['load_before']}.\n")
    rounds = [{way: measure(way, wanted.seconds) for way in WAYS} for _ in range(wanted.rounds)]
    print("| part, in one thread | unit | processor time | ± |")
    print("|---|---|--:|--:|")
    for way, name in WAYS.items():
        values = [one[way][0] for one in rounds]
        middle = statistics.median(values)
        spread = (max(values) - min(values)) / 2 / middle
        print(f"| {name} | {rounds[0][way][1]} | {middle:.3g} | {100 * spread:.0f} % |")


if __name__ == "__main__":
    main()
