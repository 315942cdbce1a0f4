# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import CloseReason
from vpn_frontend.sessions.records.statistics import PERIOD, StatisticsCounter

START = datetime(2030, 1, 2, tzinfo=UTC)


class Clock:
    now = START

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def counter(clock):
    return StatisticsCounter(clock)


def ended(reason, *, mtu=1400, seconds=0.0):
    started = START - timedelta(seconds=seconds)
    return SimpleNamespace(
        close_reason=reason, started_at=started, mtu=mtu, counters=Counters(rx_bytes=10, tx_bytes=20)
    )


def test_sessions_are_counted_by_their_end(counter):
    for _ in range(3):
        counter.session_opened()
    assert counter.session_ended(ended(CloseReason.IDLE_TIMEOUT, seconds=100)) == 100
    counter.session_ended(ended(CloseReason.SESSION_TIMEOUT, seconds=300, mtu=1300))
    counter.session_ended(ended(CloseReason.CONNECTION_LOST, seconds=200))
    found = counter.snapshot()
    assert (found.sessions, found.ended, found.idle, found.timed_out, found.failed) == (3, 3, 1, 1, 1)
    assert (found.average_session, found.longest_session) == (200.0, 300.0)
    assert (found.min_mtu, found.max_mtu, found.rx_bytes, found.tx_bytes) == (1300, 1400, 30, 60)


def test_a_wall_clock_that_was_set_back_makes_no_negative_time(counter):
    assert counter.session_ended(ended(CloseReason.KILLED, seconds=-50)) == 0


def test_a_period_ends_after_a_week_and_the_totals_go_on(counter, clock):
    counter.session_opened()
    counter.login_refused()
    counter.login_accepted(2.0)
    counter.login_accepted(4.0)
    assert (counter.snapshot().average_login, counter.snapshot().longest_login) == (3.0, 4.0)
    clock.now = START + PERIOD - timedelta(seconds=1)
    assert counter.snapshot().since == START
    clock.now = START + PERIOD
    found = counter.snapshot()
    assert (found.since, found.average_login, found.refused_logins_in_period) == (clock.now, 0.0, 0)
    assert (found.sessions, found.refused_logins) == (1, 1)
