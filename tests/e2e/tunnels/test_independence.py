# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels do not wait for Python: a held interpreter lock, a garbage collection, a busy API or a large policy.

host 1 10.77.1.2 ── v1 ── gateway 10.77.0.1, `ocsentry serve`

Echo requests run at a fixed rate far below capacity, first alone and then beside a stressor. The threads that carry
them (gateway workers, client) have real-time priority. So no other load takes processor time from them, and only a
wait for Python can delay them. ping(8) has no such priority: it spins between requests. The kernel stamps its replies.
"""

from __future__ import annotations

import os
import statistics
import threading
import time

from lab.processes import stressors
from lab.processes.scheduling import prefer_threads
from lab.server import INNER_IPV4
from lab.timeouts import TIMEOUT, time_limit
from lab.traffic.continuous_ping import ContinuousPing

PREFIXES = int(os.environ.get("OCSENTRY_PREFIXES", "1000000"))
CALLS = 1000  # requested per second; a slower machine answers fewer and is as busy
SECONDS = 0.8  # without a stressor, and of API calls
INTERVAL, SIZE = 0.002, 1200  # seconds, bytes: 5 Mbit/s each way
SAMPLES = 200  # round trips per percentile
# A thread that needs the GIL waits 5 ms (sys.getswitchinterval) beside running Python, and longer beside C that keeps
# it. On an idle machine the 99th percentile of round trips is a tenth of that.
WAIT = 0.004  # seconds
TRIES = 4  # one must pass: a wait for Python delays every try, other load does not


class Watch:
    """A tunnel and the round trips through it."""

    def __init__(self, lab):
        self.server = lab.serve(launcher=stressors.LAUNCHER)
        self.client = self.server.connect(lab.host())
        self.client.await_up()
        self.pings = ContinuousPing(self.client, INNER_IPV4, interval=INTERVAL, size=SIZE)
        self.pings.await_replies(10)
        assert prefer_threads(self.server.program.process.pid, "gateway-"), "no thread is named gateway-*"
        prefer_threads(self.client.process.pid)

    def p99(self, disturb) -> float:
        """Returns the 99th percentile of round trips during ``disturb``, in seconds."""
        began = time.monotonic()
        while len(times := self.pings.round_trips(began)) < SAMPLES:
            disturb(self)
            self.pings.await_replies(self.pings.replies + 1)
        return statistics.quantiles(times, n=100)[98]

    def lateness(self, disturb) -> float:
        """Returns the 99th percentile beside ``disturb`` as a multiple of its limit; the best of several tries."""
        best = float("inf")
        for _ in range(TRIES):
            quiet = self.p99(lambda _: time.sleep(SECONDS))
            best = min(best, self.p99(disturb) / max(2 * quiet, WAIT))
            if best <= 1.0:
                break
        return best


def hold_gil(watch):
    """Holds the GIL and checks that it is held: an API call gets no answer meanwhile."""
    answered = threading.Event()

    def ask():
        watch.server.api.another().get("/api/v1/status")
        answered.set()

    asking = threading.Thread(target=ask)
    with stressors.gil_held(watch.server):
        asking.start()
        watch.pings.await_replies(watch.pings.replies + SAMPLES)
        assert not answered.is_set()
    asking.join(TIMEOUT)
    assert answered.is_set()


def test_no_packet_waits_for_a_python_that_is_stuck_or_busy(lab):
    watch = Watch(lab)
    networks = stressors.prefix_list(PREFIXES)
    late = {
        "interpreter held": watch.lateness(hold_gil),
        "garbage collected": watch.lateness(lambda watch: stressors.collect_garbage(watch.server)),
        "API called": watch.lateness(lambda watch: stressors.call_api(watch.server, CALLS, SECONDS)),
        "policy swapped": watch.lateness(lambda watch: stressors.swap_policy(watch.server, networks)),
    }
    assert watch.pings.missing() == []
    assert {what: times for what, times in late.items() if times > time_limit(1.0)} == {}
