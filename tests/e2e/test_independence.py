# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels do not wait for Python: not for a held interpreter lock, a garbage collection, a busy API or a large policy.

host 1 10.77.1.2 ── v1 ── gateway 10.77.0.1, `ocsentry serve`

Pings of a fixed rate, far below what the machine can do, first quietly and then beside a disturbance. All that carries
them (the gateway's workers, the client) goes before every other thread of the machine. So a busy Python, or a busy
neighbour, takes no processor time from them, and what is left to delay them is a wait for Python. Not so ping itself,
which spins between requests and would keep a processor from everyone: the kernel takes the time of its answers.
"""

from __future__ import annotations

import os
import statistics
import threading
import time

from lab import disturbances
from lab.bounds import bound
from lab.patience import PATIENCE
from lab.pings import Pings
from lab.priority import prefer
from lab.server import INNER_IPV4

PREFIXES = int(os.environ.get("OCSENTRY_PREFIXES", "1000000"))
CALLS = 1000  # asked for per second; a machine with less to give answers fewer, and is as busy
SECONDS = 0.8  # of quiet, and of calls
INTERVAL, SIZE = 0.002, 1200  # seconds, bytes: 5 Mbit/s each way
SAMPLES = 200  # round trips of which a percentile says something
# A thread that needs the interpreter waits for whoever has it: 5 ms (sys.getswitchinterval) beside running Python, and
# as long as it takes beside C that keeps it. A quiet machine's 99th percentile is a tenth of the lesser one.
WAIT = 0.004  # seconds
TRIES = 4  # one must be in time: what waits for Python does so every time, what another machine delays does not


class Watch:
    """A tunnel whose packets are watched."""

    def __init__(self, lab):
        self.server = lab.serve(launcher=disturbances.LAUNCHER)
        self.client = self.server.connect(lab.host())
        self.client.await_up()
        self.pings = Pings(self.client, INNER_IPV4, interval=INTERVAL, size=SIZE)
        self.pings.await_answers(10)
        assert prefer(self.server.program.process.pid, "gateway-"), "the workers have other names now"
        prefer(
            self.client.process.pid
        )  # and not ping: between two requests it spins, and would take a processor from all

    def p99(self, disturb) -> float:
        """Seconds of the 99th percentile of the round trips meanwhile."""
        began = time.monotonic()
        while len(times := self.pings.times(began)) < SAMPLES:
            disturb(self)
            self.pings.await_answers(self.pings.answered + 1)
        return statistics.quantiles(times, n=100)[98]

    def lateness(self, disturb) -> float:
        """How many times the 99th percentile beside the disturbance is what it may be; of the best try."""
        best = float("inf")
        for _ in range(TRIES):
            quiet = self.p99(lambda _: time.sleep(SECONDS))
            best = min(best, self.p99(disturb) / max(2 * quiet, WAIT))
            if best <= 1.0:
                break
        return best


def hold_interpreter(watch):
    """And shows that it is held: what does need Python waits."""
    answered = threading.Event()

    def ask():
        watch.server.api.another().get("/api/v1/status")
        answered.set()

    asking = threading.Thread(target=ask)
    with disturbances.interpreter_held(watch.server):
        asking.start()
        watch.pings.await_answers(watch.pings.answered + SAMPLES)
        assert not answered.is_set()
    asking.join(PATIENCE)
    assert answered.is_set()


def test_no_packet_waits_for_a_python_that_is_stuck_or_busy(lab):
    watch = Watch(lab)
    networks = disturbances.prefix_list(PREFIXES)
    late = {
        "interpreter held": watch.lateness(hold_interpreter),
        "garbage collected": watch.lateness(lambda watch: disturbances.collect_garbage(watch.server)),
        "API called": watch.lateness(lambda watch: disturbances.call_api(watch.server, CALLS, SECONDS)),
        "policy swapped": watch.lateness(lambda watch: disturbances.swap_policy(watch.server, networks)),
    }
    assert watch.pings.missing() == []
    assert {what: times for what, times in late.items() if times > bound(1.0)} == {}
