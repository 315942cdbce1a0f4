# SPDX-License-Identifier: GPL-3.0-or-later
"""What may keep the server's Python busy or stuck, made on purpose.

A server started by ``LAUNCHER`` holds its interpreter's lock on SIGUSR1, and collects garbage on SIGUSR2.
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
_LEASH = "leash"  # the named pipe that a held interpreter waits at, in the server's folder
_BALLAST = 500_000  # lists that every full collection has to visit
_CALLERS = 4  # threads, each with a connection of its own
_CALL = "/api/v1/sessions"
_LEAST_CALLS = 20  # of each caller
_MAX_LAG = 0.1  # seconds behind its rate that a caller makes up for

# Reading in C without giving the lock back: until a byte comes no line of Python runs.
LAUNCHER = (
    sys.executable,
    "-c",
    f"""
import ctypes, gc, os, signal, sys, time
ballast = [[number] for number in range({_BALLAST})]
def hold(*_):
    leash = os.open("{_LEASH}", os.O_RDWR)
    os.write(1, b"held\\n")
    interpreter_lock_kept.read(leash, ctypes.create_string_buffer(1), 1)
    os.close(leash)
    os.write(1, b"let go\\n")
def collect(*_):
    os.write(1, b"collecting\\n")
    until = time.monotonic() + {GARBAGE_SECONDS}
    while time.monotonic() < until:
        gc.collect()
    os.write(1, b"collected\\n")
interpreter_lock_kept = ctypes.PyDLL(None)
signal.signal(signal.SIGUSR1, hold)
signal.signal(signal.SIGUSR2, collect)
from ocsentry.cli import main
sys.argv[0] = "ocsentry"
sys.exit(main())
""",
)


@contextmanager
def interpreter_held(server: Server) -> Iterator[None]:
    """No line of the server's Python runs inside the block, however long that takes."""
    path = server.folder / _LEASH
    os.mkfifo(path)
    leash = os.open(path, os.O_RDWR)  # both ends: neither opening nor writing waits for the server
    try:
        _signal(server, signal.SIGUSR1, "^held$")
        try:
            yield
        finally:
            since = len(server.program.lines)
            os.write(leash, b"x")
            server.program.await_line("^let go$", since=since)
    finally:
        os.close(leash)
        path.unlink()


def hold_interpreter(server: Server) -> None:
    """Returns when the server's Python goes on after ``HOLD_SECONDS``."""
    with interpreter_held(server):
        time.sleep(HOLD_SECONDS)


def collect_garbage(server: Server) -> None:
    """Full collections, one after the other, for ``GARBAGE_SECONDS``."""
    _signal(server, signal.SIGUSR2, "^collected$")


def _signal(server: Server, number: signal.Signals, done: str) -> None:
    since = len(server.program.lines)
    server.program.signal(number)
    server.program.await_line(done, since=since)


def prefix_list(count: int) -> str:
    """So many networks of the documentation's prefix (RFC 3849), one a line."""
    return "\n".join(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::/64" for number in range(count))


def swap_policy(server: Server, prefixes: str) -> None:
    """A list of networks to refuse takes the place of the policy before, and is in force when this returns."""
    path = server.folder / "networks.txt"
    path.write_text(prefixes)
    server.write_rules([], feeds=[{"id": "networks", "path": str(path)}])
    answer = server.command("reload_rules")
    assert answer["ok"], answer


def call_api(server: Server, rate: float, seconds: float) -> int:
    """Calls at a steady rate for so long, and until some were answered; how many were."""
    answered = [0] * _CALLERS
    until = time.monotonic() + seconds

    def caller(number: int) -> None:
        api, turn = server.api.another(), time.monotonic()
        while turn < until or answered[number] < _LEAST_CALLS:
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
