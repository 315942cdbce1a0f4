# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench.start_time`: from exec to the first TLS handshake on the VPN's port, and to the API's first answer.

Shows wall time and processor time of the server and of its helper processes, medians of the starts. Each start is one
of the same demo server, which has a policy, a database and a user. Requires root (TUN).
"""

from __future__ import annotations

import argparse
import json
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.machine import describe_machine
from lab.timeouts import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(sys.executable).with_name("ocsentry")
VPN, API = ("127.0.0.1", 4443), "admin.sock"
PAUSE = 0.005  # seconds between two attempts
ROWS = ("the VPN's port accepts a TLS handshake", "the API answers")
NANOSECONDS = 1e9


class Instant(NamedTuple):
    """Seconds since exec: wall time, and processor time of the server and of its helpers."""

    wall: float
    server: float
    helpers: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.start_time", description=__doc__)
    parser.add_argument("--starts", type=int, default=9, metavar="N")
    wanted = parser.parse_args()
    print(json.dumps(describe_machine()))
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([PROGRAM, "init", "--demo", "--dir", folder], check=True, stdout=subprocess.DEVNULL)
        starts = [measure(Path(folder)) for _ in range(wanted.starts)]
    print("| until | wall | processor: server | helpers |\n|---|---|---|---|")
    for row, instants in zip(ROWS, zip(*starts, strict=True), strict=True):
        cells = (f"{statistics.median(column):.2f} s" for column in zip(*instants, strict=True))
        print(f"| {row} | {' | '.join(cells)} |")


def measure(folder: Path) -> tuple[Instant, Instant]:
    """Starts the server and ends it. Returns the instants of ``ROWS``."""
    command: list[Path | str] = [PROGRAM, "--config", folder / "ocsentry.toml", "serve"]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder) as server:
        try:
            return until(server, began, shake_hands), until(server, began, lambda: ask_api(folder / API))
        finally:
            server.terminate()
            server.wait(TIMEOUT)


def until(server: subprocess.Popen[bytes], began: float, succeeds: Callable[[], None]) -> Instant:
    """Raises ``RuntimeError`` if the server ends, or takes longer than ``TIMEOUT``."""
    while server.poll() is None and time.monotonic() < began + TIMEOUT:
        try:
            succeeds()
        except OSError:
            time.sleep(PAUSE)
            continue
        return Instant(time.monotonic() - began, spent(server.pid), sum(map(spent, descendants(server.pid))))
    raise RuntimeError("the server does not start: run `ocsentry serve --check`")


def shake_hands() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(VPN, TIMEOUT) as link, context.wrap_socket(link):
        pass


def ask_api(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(TIMEOUT)
        link.connect(str(path))
        link.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        if not link.recv(64).startswith(b"HTTP/1.1 200"):
            raise ConnectionError


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(further for child in children for further in descendants(child))]


def spent(pid: int) -> float:
    """Processor time of all threads of a process. A thread that ended is not counted."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / NANOSECONDS


if __name__ == "__main__":
    main()
