# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns of the workers' loops, by which a watchdog tells an idle worker from a stuck one."""

from __future__ import annotations

from lab.timeouts import eventually


def test_an_idle_worker_makes_a_turn_when_it_is_asked(bench):
    before = bench.gateway.turns()
    assert len(before) >= 1
    eventually(
        bench.gateway.turns, lambda turns: all(now > then for now, then in zip(turns, before, strict=True)), "turned"
    )
