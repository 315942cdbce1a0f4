# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels do not wait for Python: not for a held interpreter lock, not for a busy API, not for a large policy.

host 1 10.77.1.2 ── v1 ── gateway 10.77.0.1, `ocsentry serve`
"""

from __future__ import annotations

import signal
import sys
import threading

from tests.e2e.lab.pings import Pings
from tests.e2e.lab.server import INNER_IPV4

HOLD_SECONDS = 1.0
# A server that on SIGUSR1 sleeps in C without giving the interpreter lock back: for that time no line of Python runs.
HOLDER = f"""
import ctypes, signal, sys
def hold(*_):
    print("held", flush=True)
    ctypes.PyDLL(None).usleep({int(HOLD_SECONDS * 1e6)})
signal.signal(signal.SIGUSR1, hold)
from ocsentry.cli import main
sys.argv[0] = "ocsentry"
sys.exit(main())
"""


def test_a_held_interpreter_lock_delays_no_packet(lab):
    server = lab.serve(launcher=(sys.executable, "-c", HOLDER))
    client = server.connect(lab.host())
    client.await_up()
    pings = Pings(client, INNER_IPV4)
    pings.await_answers(10)
    server.program.signal(signal.SIGUSR1)
    server.program.await_line("^held$")
    pings.await_answers(pings.answered + int(HOLD_SECONDS / 0.02) + 20)
    assert pings.missing() == []
    assert pings.slowest() < HOLD_SECONDS / 2


def test_a_busy_api_and_policy_swaps_lose_no_packet(lab):
    server = lab.serve()
    client = server.connect(lab.host())
    client.await_up()
    pings = Pings(client, INNER_IPV4)
    pings.await_answers(10)
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            assert server.api.call("GET", "/api/v1/sessions")[0] == 200

    caller = threading.Thread(target=call)
    caller.start()
    try:
        for generation in range(1, 4):
            prefixes = [f"198.{18 + generation}.{i >> 6}.{(i & 63) * 4}/30" for i in range(10_000)]
            server.write_rules([{"id": "many", "type": "blacklist", "remote_addr": prefixes}])
            server.command("reload_rules")
    finally:
        stop.set()
        caller.join()
    pings.await_answers(pings.answered + 20)
    assert pings.missing() == []
