# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel's sets hold: bounded, disjoint where it must be, and over before the engine's own refusal."""

from __future__ import annotations

from ipaddress import ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocsentry.privileges.packet_filter import table
from ocsentry.privileges.packet_filter.elements import MARGIN, SHORTEST, choose, network_of, seconds_left
from sentry_engine.addresses import pack_network
from sentry_engine.exchange.standing_refusals import Refusal

NOW = 50.0
FOREVER = float("inf")


def refusal(network, seconds=FOREVER):
    return Refusal(*pack_network(network), NOW + seconds)


def texts(elements):
    return {str(network_of(key)) for key in elements.ends}


@pytest.mark.parametrize(
    ("network", "name"),
    [
        ("192.0.2.1/32", "addresses4"),
        ("192.0.2.0/31", "networks4"),
        ("0.0.0.0/0", "networks4"),
        ("2001:db8::/64", "sources6"),
        ("2001:db8::1/128", "networks6"),
        ("2001:db8::/48", "networks6"),
        ("::/0", "networks6"),
    ],
)
def test_each_network_has_one_set(network, name):
    network = ip_network(network)
    assert table.set_of(network.version, network.prefixlen).name == name


def test_of_two_that_overlap_the_wider_is_chosen():
    several = [refusal(text) for text in ("10.0.0.0/8", "10.1.0.0/16", "10.1.0.1/32", "11.0.0.0/8", "::/0", "::1/128")]
    assert texts(choose(several, NOW)) == {"10.0.0.0/8", "11.0.0.0/8", "10.1.0.1/32", "::/0"}


def test_of_two_ends_the_later_counts():
    chosen = choose([refusal("192.0.2.1/32", 20), refusal("192.0.2.1/32", 60), refusal("192.0.2.1/32", 40)], NOW)
    assert list(chosen.ends.values()) == [NOW + 60]


def test_a_full_set_leaves_out_the_last_ones(monkeypatch):
    monkeypatch.setattr(table, "MAX_SINGLE", 2)
    monkeypatch.setattr(table, "MAX_NETWORKS", 1)
    several = [refusal(text) for text in ("192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32", "10.0.0.0/8", "11.0.0.0/8")]
    chosen = choose(several, NOW)
    assert texts(chosen) == {"192.0.2.1/32", "192.0.2.2/32", "10.0.0.0/8"}
    assert chosen.left_out == 2


@given(st.floats(min_value=0, max_value=1e6))
def test_the_kernel_forgets_before_the_engine(seconds):
    chosen = choose([refusal("192.0.2.1/32", seconds)], NOW)
    if not chosen.ends:
        assert seconds < SHORTEST + 0.001
        return
    (until,) = chosen.ends.values()
    left = seconds_left(until, NOW)
    assert left >= 1
    assert NOW + MARGIN + left <= until


def test_what_has_no_end_has_no_timeout():
    assert seconds_left(FOREVER, NOW) == 0


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(16, 32)), max_size=30))
def test_prefixes_never_overlap(rows):
    networks = [ip_network((0x0A000000 | host << 4, length), strict=False) for host, length in rows]
    chosen = [network_of(key) for key in choose(map(refusal, networks), NOW).ends]
    prefixes = sorted(network for network in chosen if network.prefixlen < 32)
    assert not any(one.overlaps(other) for one, other in pairwise(prefixes))
    for network in networks:
        assert any(network.subnet_of(one) for one in chosen)
