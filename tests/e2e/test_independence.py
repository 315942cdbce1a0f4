# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels do not wait for Python: not for a held interpreter lock, a garbage collection, a busy API or a large policy.

host 1 10.77.1.2 ── v1 ── gateway 10.77.0.1, `ocsentry serve`

Pings of a fixed rate, far below what the machine can do, first quietly and then beside a disturbance. All that moves
them (the gateway's workers, the client, ping) goes before every other thread of the machine. So a busy Python, or a
busy neighbour, takes no processor time from them, and what is left to delay them is a wait for Python.
"""

from __future__ import annotations

import os
import statistics
import time

from tests.e2e.lab import disturbances
from tests.e2e.lab.pings import Pings
from tests.e2e.lab.priority import prefer
from tests.e2e.lab.server import INNER_IPV4

PREFIXES = int(os.environ.get("OCSENTRY_PREFIXES", "1000000"))
CALLS = 1000  # asked for per second; a machine with less to give answers fewer, and is as busy
SECONDS = 1.5  # of quiet, and of calls
INTERVAL, SIZE = 0.002, 1200  # seconds, bytes: 5 Mbit/s each way
# A thread that needs the interpreter waits for whoever has it: 5 ms (sys.getswitchinterval) beside running Python, and
# as long as it takes beside C that keeps it. A quiet machine's 99th percentile is a tenth of the lesser one.
WAIT = 0.004  # seconds


class Watch:
    """A tunnel whose packets are watched."""

    def __init__(self, lab):
        self.server = lab.serve(launcher=disturbances.LAUNCHER)
        self.client = self.server.connect(lab.host())
        self.client.await_up()
        self.pings = Pings(self.client, INNER_IPV4, interval=INTERVAL, size=SIZE)
        self.pings.await_answers(10)
        assert prefer(self.server.program.process.pid, "gateway-"), "the workers have other names now"
        prefer(self.client.process.pid)
        prefer(self.pings.pid)

    def p99(self, disturb) -> float:
        """Seconds of the 99th percentile of the round trips meanwhile."""
        began = time.monotonic()
        disturb(self.server)
        self.pings.await_answers(self.pings.answered + 1)
        times = self.pings.times(began)
        assert len(times) > 100, f"{len(times)} pings were answered in {time.monotonic() - began:.1f} s"
        return statistics.quantiles(times, n=100)[98]


def hold_interpreter(server):
    """And shows that it is held: what does need Python waits."""
    since = len(server.program.lines)
    disturbances.begin_hold(server)
    held = server.program.await_line("^held$", since=since)
    server.api.get("/api/v1/status")
    assert time.monotonic() - held.at > disturbances.HOLD_SECONDS * 0.9


def call_api(server):
    assert disturbances.call_api(server, CALLS, SECONDS) > CALLS * SECONDS / 20


def test_no_packet_waits_for_a_python_that_is_stuck_or_busy(lab):
    watch = Watch(lab)
    networks = disturbances.prefix_list(PREFIXES)
    quiet = watch.p99(lambda _: time.sleep(SECONDS))
    disturbed = {
        "interpreter held": watch.p99(hold_interpreter),
        "garbage collected": watch.p99(disturbances.collect_garbage),
        "API called": watch.p99(call_api),
        "policy swapped": watch.p99(lambda server: disturbances.swap_policy(server, networks)),
    }
    assert watch.pings.missing() == []
    assert {what: p99 for what, p99 in disturbed.items() if p99 > max(2 * quiet, WAIT)} == {}
