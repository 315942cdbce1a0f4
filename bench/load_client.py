# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the load client in C (bench/load): thousands of logins and sessions, and more traffic than openconnect."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lab.network import SERVER_IPV4
from lab.processes.programs import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.namespaces import Namespace

ROOT = Path(__file__).resolve().parents[1]
SOURCES = Path(__file__).with_name("load")
BINARY = ROOT / ".build" / "bench" / "load"
SLACK = 60.0  # seconds beyond the requested time until a run counts as hung
_OPEN_TIMEOUT = 300.0  # seconds for a thousand tunnels to open
_WARM_TICKS = 2  # reports that are skipped: windows open, caches warm up
_FOREVER = 3600.0  # seconds; a signal ends such a run


@dataclass(frozen=True, slots=True)
class RunResult:
    """Totals of a run."""

    count: int
    failed: int
    seconds: float
    bytes: int
    asked: int
    p50: float  # seconds until a client was open, of the modes that open one after another
    p99: float


class Account(Protocol):
    """Who logs in, and the server's address inside the tunnel."""

    @property
    def user(self) -> str: ...
    @property
    def password(self) -> str: ...
    @property
    def inner_ipv4(self) -> str: ...


@dataclass(frozen=True, slots=True)
class TrafficSample:
    """Traffic between two reports of the load client, and the change of each probe in that time."""

    seconds: float
    packets: int
    bytes: int
    asked: int  # packets requested from the source
    own_cpu: float  # processor seconds of the load client
    others: tuple[float, ...]  # change of each probe


def build() -> None:
    """Compiles the client against the gateway's wolfSSL if a source is newer than the binary."""
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
    whole = BINARY.with_suffix(".new")  # renamed at the end, so that a killed build leaves no client
    subprocess.run([compiler, *flags, "-o", whole, *sources, *libraries], check=True)
    whole.rename(BINARY)


def start(
    mode: str,
    namespace: Namespace,
    peer: Account,
    *,
    threads: int = 1,
    amount: float = _FOREVER,
    dtls: bool = False,
    rate: float = 0.0,
    port: int = 9,
    more: Sequence[str] = (),
) -> Program:
    """Starts a run. ``amount``: seconds, or tunnels for ``hold``. ``rate``: Mbit/s per tunnel, 0: unlimited.

    ``more``: further options of the load client.
    """
    options = ["-u", peer.user, "-p", peer.password, "-i", peer.inner_ipv4, "-o", str(port), "-r", f"{rate:g}"]
    options += more
    command = [BINARY, *options, *(["-d"] if dtls else []), mode, SERVER_IPV4, str(threads), f"{amount:g}"]
    return Program(f"load {mode}", command, namespace)


def await_open(program: Program, wanted: int) -> int:
    """Returns how many tunnels opened. Raises RuntimeError if none did."""
    opened = int(json.loads(program.await_line(r'"open"', _OPEN_TIMEOUT).text)["open"])
    if not opened:
        raise RuntimeError(f"{program.label}: none of {wanted} opened: {program.tail}")
    return opened


def observe(program: Program, seconds: float, *probes: Callable[[], float]) -> TrafficSample:
    """Samples a run's traffic for ``seconds`` after its warm-up. Each probe is read at both ends of the interval.

    The interval begins and ends with the report that follows the probes: one that the kernel delays by seconds, as it
    does where network namespaces are torn down, lengthens both alike.
    """
    _tick(program, _ticks(program) + _WARM_TICKS)
    before, began = [probe() for probe in probes], time.monotonic()
    first = _tick(program, _ticks(program) + 1)
    while time.monotonic() - began < seconds:
        _tick(program, _ticks(program) + 1)
    after = [probe() for probe in probes]
    last = _tick(program, _ticks(program) + 1)
    return TrafficSample(
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
    """Waits for report ``number`` and returns it."""
    while True:
        seen = len(program.lines)
        if len(reports := _reports(program)) >= number:
            break
        program.await_line(r'"at"', since=seen)
    report: dict[str, float] = json.loads(reports[number - 1])
    return report


def result_of(program: Program, timeout: float = SLACK) -> RunResult:
    """Waits for the end of a run and returns its totals."""
    if program.await_exit(timeout):
        raise RuntimeError(f"{program.label}: {program.output}")
    last = json.loads(program.lines[-1].text)
    return RunResult(**last)


def run(
    mode: str, namespace: Namespace, peer: Account, *, threads: int, seconds: float, more: Sequence[str] = ()
) -> RunResult:
    started = start(mode, namespace, peer, threads=threads, amount=seconds, more=more)
    return result_of(started, seconds + SLACK)


def end(program: Program) -> RunResult:
    program.signal(signal.SIGTERM)
    return result_of(program)
