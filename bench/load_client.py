# SPDX-License-Identifier: GPL-3.0-or-later
"""The load client in C (bench/load): thousands of logins and sessions, and traffic that openconnect is too slow for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.network import SERVER_IPV4
from lab.programs import Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.peers import Peer
    from lab.namespaces import Namespace

ROOT = Path(__file__).resolve().parents[1]
SOURCES = Path(__file__).with_name("load")
BINARY = ROOT / ".build" / "bench" / "load"
_SLACK = 60.0  # seconds over the time asked for until a run counts as hung
_OPEN_PATIENCE = 300.0  # seconds for a thousand tunnels to open
_WARM_TICKS = 2  # reports of traffic that are passed over: windows open, caches warm up
_FOREVER = 3600.0  # seconds; such a run is ended by a signal


@dataclass(frozen=True, slots=True)
class Outcome:
    """A whole run."""

    count: int
    failed: int
    seconds: float
    bytes: int
    asked: int


@dataclass(frozen=True, slots=True)
class Flow:
    """What open tunnels moved between two reports of the load client, and what else changed in that time."""

    seconds: float
    packets: int
    bytes: int
    asked: int  # packets asked of the source
    own_cpu: float  # seconds of the load client's
    others: tuple[float, ...]  # differences of the probes


def build() -> None:
    """Compiles the client against the gateway's own wolfSSL when a source is newer than the binary."""
    sources = sorted(SOURCES.glob("*.c"))
    newest = max(path.stat().st_mtime for path in SOURCES.iterdir())
    if BINARY.exists() and BINARY.stat().st_mtime > newest:
        return
    BINARY.parent.mkdir(parents=True, exist_ok=True)
    prefix = subprocess.run(
        [ROOT / "vpn_frontend/native/wolfssl.sh"], check=True, capture_output=True, text=True
    ).stdout.strip()
    compiler = os.environ.get("CC", "cc")
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", f"-I{prefix}/include", f"-I{ROOT}"]
    libraries = [f"{prefix}/lib/libwolfssl.a", "-lm", "-lpthread"]
    whole = BINARY.with_suffix(".new")  # renamed: a build that was killed leaves nothing that looks like a client
    subprocess.run([compiler, *flags, "-o", whole, *sources, *libraries], check=True)
    whole.rename(BINARY)


def start(
    mode: str,
    namespace: Namespace,
    peer: Peer,
    *,
    threads: int = 1,
    amount: float = _FOREVER,
    dtls: bool = False,
    rate: float = 0.0,
    port: int = 9,
) -> Program:
    """One run; ``amount`` is seconds, or tunnels for ``hold``; ``rate`` in Mbit/s of every tunnel, 0 for all it can."""
    options = ["-u", peer.user, "-p", peer.password, "-i", peer.inner_ipv4, "-o", str(port), "-r", f"{rate:g}"]
    command = [BINARY, *options, *(["-d"] if dtls else []), mode, SERVER_IPV4, str(threads), f"{amount:g}"]
    return Program(f"load {mode}", command, namespace)


def await_open(program: Program, wanted: int) -> int:
    """How many tunnels opened; an error if it is none, a remark is the caller's."""
    opened = int(json.loads(program.await_line(r'"open"', _OPEN_PATIENCE).text)["open"])
    if not opened:
        raise RuntimeError(f"{program.label}: none of {wanted} opened: {program.tail}")
    return opened


def observe(program: Program, seconds: float, *probes: Callable[[], float]) -> Flow:
    """Follows the traffic of a run for so long, after it has warmed up; each probe is read at both ends."""
    first = _tick(program, _ticks(program) + _WARM_TICKS)
    before, began = [probe() for probe in probes], time.monotonic()
    last = first
    while time.monotonic() - began < seconds:
        last = _tick(program, _ticks(program) + 1)
    after = [probe() for probe in probes]
    return Flow(
        last["at"] - first["at"],
        int(last["count"] - first["count"]),
        int(last["bytes"] - first["bytes"]),
        int(last["asked"] - first["asked"]),
        last["cpu"] - first["cpu"],
        tuple(b - a for a, b in zip(before, after, strict=True)),
    )


def _reports(program: Program) -> list[str]:
    return [line.text for line in program.lines if '"at"' in line.text]


def _ticks(program: Program) -> int:
    return len(_reports(program))


def _tick(program: Program, number: int) -> dict[str, float]:
    """The report of that number, once it is there."""
    while True:
        seen = len(program.lines)
        if len(reports := _reports(program)) >= number:
            break
        program.await_line(r'"at"', since=seen)
    report: dict[str, float] = json.loads(reports[number - 1])
    return report


def outcome(program: Program, patience: float = _SLACK) -> Outcome:
    """Waits for the end of a run and reads its last line."""
    if program.await_exit(patience):
        raise RuntimeError(f"{program.label}: {program.output}")
    last = json.loads(program.lines[-1].text)
    return Outcome(**last)


def run(mode: str, namespace: Namespace, peer: Peer, *, threads: int, seconds: float) -> Outcome:
    return outcome(start(mode, namespace, peer, threads=threads, amount=seconds), seconds + _SLACK)


def end(program: Program) -> Outcome:
    program.signal(signal.SIGTERM)
    return outcome(program)
