# SPDX-License-Identifier: GPL-3.0-or-later
"""The watchdog's decisions: what is stuck, and what is only late."""

from __future__ import annotations

import asyncio
import threading

from lab.timeouts import TIMEOUT
from ocsentry.runtime.service_manager.watchdog import LoopGuard, Watchdog, WorkerWatch

SHORT = 0.01  # seconds between two checks here


class Lines:
    def __init__(self):
        self.events = []

    def write(self, event, level="info", /, **fields):
        self.events.append((str(event), level))


def test_a_worker_is_stuck_after_enough_checks_without_a_turn():
    watch = WorkerWatch(checks=3)
    assert [watch.find_stuck([5, turns]) for turns in range(9)] == [[], [], [], *([[0]] * 6)]


def test_one_turn_begins_the_count_anew():
    watch = WorkerWatch(checks=3)
    found = [watch.find_stuck([turns]) for turns in (1, 1, 1, 2, 2, 2, 2)]
    assert found == [[]] * 6 + [[0]]


def test_without_workers_nothing_is_stuck():
    assert WorkerWatch(checks=1).find_stuck([]) == []


def test_a_loop_that_does_not_beat_ends_the_process():
    ended, lines = threading.Event(), Lines()
    guard = LoopGuard(lines, end=ended.set, checks=3, interval=SHORT)
    guard.start()
    assert ended.wait(TIMEOUT)
    assert lines.events == [("loop_stuck", "error")]


def test_a_guard_that_was_stopped_ends_nothing():
    ended = threading.Event()
    guard = LoopGuard(Lines(), end=ended.set, checks=1, interval=TIMEOUT)
    guard.start()
    guard.stop()
    guard._thread.join(TIMEOUT)
    assert not guard._thread.is_alive()
    assert not ended.is_set()


class Beats:
    def __init__(self):
        self.count = 0

    def beat(self):
        self.count += 1


def test_systemd_is_notified_until_a_worker_is_stuck(monkeypatch):
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "2")  # microseconds: every check notifies
    told = []
    monkeypatch.setattr("ocsentry.runtime.service_manager.systemd.notify_watchdog", lambda: told.append(beats.count))
    reports, beats, turns = [], Beats(), [1, 1]

    def read_turns():
        turns[0] += 1
        if beats.count < 5:
            turns[1] += 1
        return tuple(turns)

    dog = Watchdog(beats, read_turns=read_turns, report=reports.append, interval=SHORT)
    asyncio.run(asyncio.wait_for(dog.run(), TIMEOUT))
    assert reports == [[1]]
    assert told == list(range(1, beats.count))  # in every check but the one that found it
