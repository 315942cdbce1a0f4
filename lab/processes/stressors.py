# SPDX-License-Identifier: GPL-3.0-or-later
"""Stressors: they hold the server's interpreter lock (GIL) or keep its Python busy.

A server started by ``LAUNCHER`` holds its GIL on SIGUSR1 and collects garbage on SIGUSR2.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.server import Server

HOLD_SECONDS = 1.0
GARBAGE_SECONDS = 1.0
_PIPE = "gil-pipe"  # named pipe in the server's folder; a read from it holds the GIL
_BALLAST = 500_000  # lists that each full collection visits
_CALLERS = 4  # threads, each with its own connection
_CALL = "/api/v1/sessions"
_MIN_CALLS = 20  # of each caller
_MAX_LAG = 0.1  # seconds of backlog that a caller catches up with

# read(2) through PyDLL keeps the GIL: no Python runs until a byte comes.
LAUNCHER = (
    sys.executable,
    "-c",
    f"""
import ctypes, gc, os, signal, sys, time
ballast = [[number] for number in range({_BALLAST})]
def hold(*_):
    pipe = os.open("{_PIPE}", os.O_RDWR)
    os.write(1, b"held\\n")
    keeps_gil.read(pipe, ctypes.create_string_buffer(1), 1)
    os.close(pipe)
    os.write(1, b"let go\\n")
def collect(*_):
    os.write(1, b"collecting\\n")
    until = time.monotonic() + {GARBAGE_SECONDS}
    while time.monotonic() < until:
        gc.collect()
    os.write(1, b"collected\\n")
keeps_gil = ctypes.PyDLL(None)
signal.signal(signal.SIGUSR1, hold)
signal.signal(signal.SIGUSR2, collect)
from ocsentry.cli import main
sys.argv[0] = "ocsentry"
sys.exit(main())
""",
)


@contextmanager
def gil_held(server: Server) -> Iterator[None]:
    """No Python of the server runs inside the block."""
    path = server.folder / _PIPE
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR)  # both ends: open and write do not wait for the server
    try:
        _signal(server, signal.SIGUSR1, "^held$")
        try:
            yield
        finally:
            since = len(server.program.lines)
            os.write(pipe, b"x")
            server.program.await_line("^let go$", since=since)
    finally:
        os.close(pipe)
        path.unlink()


def hold_gil(server: Server) -> None:
    """Holds the server's GIL for ``HOLD_SECONDS``."""
    with gil_held(server):
        time.sleep(HOLD_SECONDS)


def collect_garbage(server: Server) -> None:
    """Makes the server collect garbage, again and again, for ``GARBAGE_SECONDS``."""
    _signal(server, signal.SIGUSR2, "^collected$")


def _signal(server: Server, number: signal.Signals, done: str) -> None:
    since = len(server.program.lines)
    server.program.signal(number)
    server.program.await_line(done, since=since)


def prefix_list(count: int) -> str:
    """Returns ``count`` networks of the documentation prefix (RFC 3849), one per line."""
    return "\n".join(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::/64" for number in range(count))


def swap_policy(server: Server, prefixes: str) -> None:
    """Replaces the policy by a feed of networks to reject; it is in force when this returns."""
    path = server.folder / "networks.txt"
    path.write_text(prefixes)
    server.write_rules([], feeds=[{"id": "networks", "path": str(path)}])
    answer = server.command("reload_rules")
    assert answer["ok"], answer


def call_api(server: Server, rate: float, seconds: float) -> int:
    """Calls the API at ``rate`` per second for ``seconds``; returns how many calls were answered."""
    answered = [0] * _CALLERS
    until = time.monotonic() + seconds

    def caller(number: int) -> None:
        api, turn = server.api.another(), time.monotonic()
        while turn < until or answered[number] < _MIN_CALLS:
            api.get(_CALL)
            answered[number] += 1
            turn = max(turn + _CALLERS / rate, time.monotonic() - _MAX_LAG)
            time.sleep(max(0.0, turn - time.monotonic()))
        api.close()

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(_CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(answered)
