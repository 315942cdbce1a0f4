# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a session's counters are told."""

import pytest

from tests.vpn_frontend.accounting.memory_ledger import make_session
from vpn_frontend.accounting.interim import InterimSchedule


@pytest.mark.parametrize(
    ("configured", "asked", "interval"),
    [
        (300, 0, 300),
        (300, 900, 900),
        (300, 20, 60),  # RFC 2869 5.16
        (30, 20, 30),  # the configuration wants them as often
        (0, 20, 60),
    ],
)
def test_a_server_may_not_ask_for_more_than_the_rfc_or_the_configuration_allows(configured, asked, interval):
    schedule, session = InterimSchedule(configured), make_session(interim=asked)
    schedule.add_session(session, 0)
    assert schedule.take_due(interval * 0.89) == []
    assert schedule.take_due(interval * 1.11) == [session]


def test_without_an_interval_nothing_is_told():
    schedule = InterimSchedule(0)
    schedule.add_session(make_session(), 0)
    assert len(schedule) == 0


def test_another_interval_holds_from_the_next_update_on():
    schedule, session = InterimSchedule(300), make_session()
    schedule.add_session(session, 0)
    schedule.interval = 100
    assert schedule.take_due(260) == []
    assert schedule.take_due(340) == [session]
    assert schedule.take_due(340 + 89) == []
    assert schedule.take_due(340 + 111) == [session]
    schedule.interval = 0
    assert schedule.take_due(1000) == [session]
    assert len(schedule) == 0
