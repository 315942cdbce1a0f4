# SPDX-License-Identifier: GPL-3.0-or-later
from datetime import timedelta

import pytest

from tests.vpn_frontend.accounting.memory_ledger import BEGAN, make_session
from vpn_frontend.accounting.questions import TERMINATE_CAUSES, interim_question, start_question, stop_question
from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import CloseReason
from vpn_frontend.radius.packets import Request


def as_mapping(question):
    found = {}
    for name, value in question.attributes:
        found.setdefault(name, []).append(value)
    return found


def test_a_start_says_who_and_where_and_how_late():
    told = as_mapping(start_question(make_session(), "vpn1", BEGAN + timedelta(seconds=90.7)))
    assert told == {
        "Acct-Status-Type": [1],
        "Acct-Session-Id": ["0123456789abcdef"],
        "User-Name": ["alice@example.org"],
        "NAS-Identifier": ["vpn1"],
        "Service-Type": [2],
        "Framed-Protocol": [1],
        "Calling-Station-Id": ["192.0.2.1"],
        "Acct-Authentic": [1],
        "Event-Timestamp": [int(BEGAN.timestamp())],
        "Acct-Delay-Time": [90],
        "Framed-IP-Address": ["192.168.99.7"],
        "Framed-IPv6-Address": ["fd00:99::7"],
        "Class": [b"OU=staff", b"\x00\xff"],
    }


def test_counters_are_exact_beyond_four_gigabytes():
    counters = Counters(rx_packets=2**32 + 1, rx_bytes=5 * 2**32 + 6, tx_packets=9, tx_bytes=2**32 - 1)
    told = as_mapping(interim_question(make_session(counters=counters), "vpn1", BEGAN + timedelta(minutes=5)))
    assert told["Acct-Status-Type"] == [3]
    assert (told["Acct-Input-Gigawords"], told["Acct-Input-Octets"]) == ([5], [6])
    assert (told["Acct-Output-Gigawords"], told["Acct-Output-Octets"]) == ([0], [2**32 - 1])
    assert (told["Acct-Input-Packets"], told["Acct-Output-Packets"]) == ([1], [9])
    assert (told["Acct-Session-Time"], told["Acct-Delay-Time"]) == ([300], [0])
    assert "Acct-Terminate-Cause" not in told


@pytest.mark.parametrize("reason", list(CloseReason))
def test_every_stop_has_a_cause_and_the_session_s_time(reason):
    ended = make_session(ended_at=BEGAN + timedelta(hours=2), end_reason=reason)
    told = as_mapping(stop_question(ended, "vpn1", BEGAN + timedelta(hours=3)))
    assert (told["Acct-Session-Time"], told["Acct-Delay-Time"]) == ([7200], [3600])
    assert told["Event-Timestamp"] == [int(BEGAN.timestamp()) + 7200]
    assert told["Acct-Terminate-Cause"] == [TERMINATE_CAUSES.get(reason, 10)]


def test_a_clock_that_was_set_back_gives_no_negative_times():
    ended = make_session(ended_at=BEGAN - timedelta(hours=1), end_reason=CloseReason.LOGOUT)
    told = as_mapping(stop_question(ended, "vpn1", BEGAN - timedelta(hours=2)))
    assert (told["Acct-Session-Time"], told["Acct-Delay-Time"]) == ([0], [0])


def test_the_longest_values_fit_a_packet():
    session = make_session(name="é" * 300, classes=(b"x" * 300,) * 50, by_radius=False, ipv4=None)
    data = Request(start_question(session, "n" * 300, BEGAN), 1, b"secret").data
    assert len(data) < 4096
    assert b"\x2d\x06\0\0\0\2" in data, "Acct-Authentic: Local"
