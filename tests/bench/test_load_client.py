# SPDX-License-Identifier: GPL-3.0-or-later
"""The interval of a traffic sample, with a load client whose reports the test makes."""

from __future__ import annotations

import json
from itertools import count
from types import SimpleNamespace

from bench.load_client import observe

TICK = 0.1  # seconds between reports
RATE = 1000  # packets in each


class Reports:
    """A load client that reports whenever it is waited for."""

    def __init__(self):
        self.lines = []
        self._numbers = count(1)

    def report(self):
        n = next(self._numbers)
        report = {"at": n * TICK, "count": n * RATE, "bytes": n * RATE, "asked": 0, "cpu": n * TICK}
        self.lines.append(SimpleNamespace(text=json.dumps(report)))

    def await_line(self, _pattern, *, since):
        assert since == len(self.lines)
        self.report()


def test_a_slow_probe_counts_no_more_traffic_than_the_interval_has():
    program = Reports()
    slow = iter([0, 200])  # reports that pass while the probe is read

    def arrived():
        for _ in range(next(slow)):
            program.report()
        return RATE * len(program.lines)

    sample = observe(program, 0.0, arrived)
    assert sample.packets == sample.others[0] == 201 * RATE
    assert abs(sample.seconds - 201 * TICK) < TICK / 2
