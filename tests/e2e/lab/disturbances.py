# SPDX-License-Identifier: GPL-3.0-or-later
"""What may keep the server's Python busy or stuck, made on purpose.

A server started by ``LAUNCHER`` holds its interpreter's lock on SIGUSR1, and collects garbage on SIGUSR2.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .server import Server

HOLD_SECONDS = 1.0
GARBAGE_SECONDS = 1.0
_BALLAST = 500_000  # lists that every full collection has to visit
_CALLERS = 4  # threads, each with a connection of its own
_CALL = "/api/v1/sessions"
_MAX_LAG = 0.1  # seconds behind its rate that a caller makes up for

# Sleeping in C without giving the lock back: for that time no line of Python runs.
LAUNCHER = (
    sys.executable,
    "-c",
    f"""
import ctypes, gc, signal, sys, time
ballast = [[number] for number in range({_BALLAST})]
def hold(*_):
    print("held", flush=True)
    interpreter_lock_kept.usleep({int(HOLD_SECONDS * 1e6)})
    print("let go", flush=True)
def collect(*_):
    print("collecting", flush=True)
    until = time.monotonic() + {GARBAGE_SECONDS}
    while time.monotonic() < until:
        gc.collect()
    print("collected", flush=True)
interpreter_lock_kept = ctypes.PyDLL(None)
signal.signal(signal.SIGUSR1, hold)
signal.signal(signal.SIGUSR2, collect)
from ocsentry.cli import main
sys.argv[0] = "ocsentry"
sys.exit(main())
""",
)


def begin_hold(server: Server) -> None:
    """Says ``held`` when no line of Python runs any more."""
    server.program.signal(signal.SIGUSR1)


def hold_interpreter(server: Server) -> None:
    """Returns when the server's Python goes on after ``HOLD_SECONDS``."""
    _signal(server, signal.SIGUSR1, "^let go$")


def collect_garbage(server: Server) -> None:
    """Full collections, one after the other, for ``GARBAGE_SECONDS``."""
    _signal(server, signal.SIGUSR2, "^collected$")


def _signal(server: Server, number: signal.Signals, done: str) -> None:
    since = len(server.program.lines)
    server.program.signal(number)
    server.program.await_line(done, 30, since=since)


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
    """Calls at a steady rate for so long; how many were answered."""
    answered = [0] * _CALLERS
    until = time.monotonic() + seconds

    def caller(number: int) -> None:
        api, turn = server.api.another(), time.monotonic()
        while turn < until:
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
