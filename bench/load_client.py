# SPDX-License-Identifier: GPL-3.0-or-later
"""The load client in C (bench/load): thousands of logins and sessions, which openconnect is too heavy for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.lab.network import SERVER_IPV4
from tests.e2e.lab.programs import Program

if TYPE_CHECKING:
    from bench.peers import Peer
    from tests.e2e.lab.network import Host

ROOT = Path(__file__).resolve().parents[1]
SOURCES = Path(__file__).with_name("load")
BINARY = ROOT / ".build" / "bench" / "load"
_SLACK = 60.0  # seconds over the time asked for until a run counts as hung


@dataclass(frozen=True, slots=True)
class Outcome:
    count: int
    failed: int
    seconds: float
    bytes: int


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
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", f"-I{prefix}/include"]
    libraries = [f"{prefix}/lib/libwolfssl.a", "-lm", "-lpthread"]
    subprocess.run([compiler, *flags, "-o", BINARY, *sources, *libraries], check=True)


def start(mode: str, host: Host, peer: Peer, *, threads: int, amount: float) -> Program:
    """One run; ``amount`` is seconds, or tunnels for ``hold``."""
    return Program(
        f"load {mode}",
        [BINARY, mode, SERVER_IPV4, "443", str(threads), f"{amount:g}", peer.user, peer.password, peer.inner_ipv4],
        host.namespace,
    )


def outcome(program: Program, patience: float = _SLACK) -> Outcome:
    """Waits for the end of a run and reads its last line."""
    if program.await_exit(patience):
        raise RuntimeError(f"{program.label}: {program.output}")
    last = json.loads(program.lines[-1].text)
    return Outcome(last["count"], last["failed"], last["seconds"], last["bytes"])


def run(mode: str, host: Host, peer: Peer, *, threads: int, seconds: float) -> Outcome:
    return outcome(start(mode, host, peer, threads=threads, amount=seconds), seconds + _SLACK)


def end(program: Program) -> None:
    program.signal(signal.SIGTERM)
    program.await_exit(_SLACK)
