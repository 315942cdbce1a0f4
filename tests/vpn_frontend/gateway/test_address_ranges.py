# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks less other networks."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.gateway.address_ranges import EVERYWHERE, subtract_networks

LAST4, LAST6 = (1 << 32) - 1, (1 << 128) - 1


def network4(address, length):
    return IPv4Network((address, length), strict=False)


# Few addresses, so that networks touch, hold and overlap each other.
networks = st.lists(
    st.builds(network4, st.integers(0, 63).map(lambda n: 0x0A000000 | n), st.integers(26, 32)), max_size=6
)


@given(networks, networks)
def test_ranges_hold_what_the_networks_hold(included, excluded):
    ranges = subtract_networks(included, excluded, 4)
    for address in range(0x0A000000 - 2, 0x0A000000 + 66):
        wanted = any(address in range(int(n[0]), int(n[-1]) + 1) for n in included)
        wanted = wanted and not any(address in range(int(n[0]), int(n[-1]) + 1) for n in excluded)
        assert any(first <= address <= last for first, last in ranges) is wanted
    assert all(first <= last for first, last in ranges)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(ranges))


@pytest.mark.parametrize(
    ("excluded", "left4", "left6"),
    [
        ((), [(0, LAST4)], [(0, LAST6)]),
        (EVERYWHERE, [], []),
        ((ip_network("0.0.0.0/32"), ip_network("::/128")), [(1, LAST4)], [(1, LAST6)]),
        (
            (ip_network("255.255.255.255/32"), IPv6Network((LAST6, 128))),
            [(0, LAST4 - 1)],
            [(0, LAST6 - 1)],
        ),
    ],
)
def test_both_ends_of_the_address_space(excluded, left4, left6):
    assert subtract_networks(EVERYWHERE, excluded, 4) == left4
    assert subtract_networks(EVERYWHERE, excluded, 6) == left6


def test_an_exception_may_reach_over_several_networks():
    parts = [ip_network("10.0.0.0/26"), ip_network("10.0.0.128/26")]
    hole = [ip_network("10.0.0.0/24")]
    assert subtract_networks(parts, hole, 4) == []
    assert subtract_networks(parts, [ip_network("10.0.0.32/27"), ip_network("10.0.0.128/25")], 4) == [
        (0x0A000000, 0x0A00001F)
    ]
