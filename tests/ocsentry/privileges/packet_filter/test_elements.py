# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel's sets hold: bounded, disjoint where it must be, and over before the engine's own refusal."""

from __future__ import annotations

from ipaddress import ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocsentry.privileges.packet_filter import table
from ocsentry.privileges.packet_filter.elements import MARGIN, SHORTEST, Elements, network_of, seconds_left
from sentry_engine.addresses import pack_network
from sentry_engine.exchange.standing_refusals import Changes, Rank, Refusal

NOW = 50.0
FOREVER = float("inf")


def refusal(network, seconds=FOREVER, rank=Rank.RULE):
    return Refusal(*pack_network(network), NOW + seconds, rank)


def choose(refusals):
    elements = Elements()
    elements.update(Changes((), list(refusals), is_whole=True), NOW)
    return elements


def texts(elements):
    return {str(network_of(key)) for key in elements.keys()}  # noqa: SIM118 - no mapping


def ends(elements):
    return [elements.end_of(key) for key in elements.keys()]  # noqa: SIM118


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
    assert texts(choose(several)) == {"10.0.0.0/8", "11.0.0.0/8", "10.1.0.1/32", "::/0"}


def test_of_two_ends_the_later_counts():
    chosen = choose([refusal("192.0.2.1/32", 20), refusal("192.0.2.1/32", 60), refusal("192.0.2.1/32", 40)])
    assert ends(chosen) == [NOW + 60]


def test_a_full_set_leaves_out_the_last_ones(monkeypatch):
    monkeypatch.setattr(table, "MAX_SINGLE", 2)
    monkeypatch.setattr(table, "MAX_NETWORKS", 1)
    several = [refusal(text) for text in ("192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32", "10.0.0.0/8", "11.0.0.0/8")]
    chosen = choose(several)
    assert texts(chosen) == {"192.0.2.1/32", "192.0.2.2/32", "10.0.0.0/8"}
    assert chosen.left_out == 2


@given(st.floats(min_value=0, max_value=1e6))
def test_the_kernel_forgets_before_the_engine(seconds):
    chosen = choose([refusal("192.0.2.1/32", seconds)])
    if not ends(chosen):
        assert seconds < SHORTEST + 0.001
        return
    (until,) = ends(chosen)
    left = seconds_left(until, NOW)
    assert left >= 1
    assert NOW + MARGIN + left <= until


def test_what_has_no_end_has_no_timeout():
    assert seconds_left(FOREVER, NOW) == 0


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(16, 32)), max_size=30))
def test_prefixes_never_overlap(rows):
    networks = [ip_network((0x0A000000 | host << 4, length), strict=False) for host, length in rows]
    chosen = [network_of(key) for key in choose(map(refusal, networks)).keys()]  # noqa: SIM118
    prefixes = sorted(network for network in chosen if network.prefixlen < 32)
    assert not any(one.overlaps(other) for one, other in pairwise(prefixes))
    for network in networks:
        assert any(network.subnet_of(one) for one in chosen)


def test_a_penalty_takes_the_room_of_a_rule_and_gives_it_back(monkeypatch):
    monkeypatch.setattr(table, "MAX_SINGLE", 2)
    chosen = choose([refusal("192.0.2.1/32"), refusal("192.0.2.2/32", rank=Rank.BLOCK), refusal("192.0.2.3/32")])
    assert texts(chosen) == {"192.0.2.1/32", "192.0.2.2/32"}
    penalty = refusal("192.0.2.9/32", 60, Rank.PENALTY)
    changed = chosen.update(Changes((), [penalty], is_whole=False), NOW)
    assert texts(chosen) == {"192.0.2.2/32", "192.0.2.9/32"}
    assert {str(network_of(key)) for key in changed} == {"192.0.2.1/32", "192.0.2.9/32"}
    chosen.update(Changes([penalty], [], is_whole=False), NOW)
    assert len(texts(chosen)) == 2
    assert chosen.left_out == 1


def test_a_penalty_that_becomes_a_rule_gives_its_room_to_a_block(monkeypatch):
    monkeypatch.setattr(table, "MAX_SINGLE", 1)
    penalty = refusal("192.0.2.1/32", 60, Rank.PENALTY)
    chosen = choose([refusal("192.0.2.1/32"), penalty, refusal("192.0.2.2/32", rank=Rank.BLOCK)])
    assert texts(chosen) == {"192.0.2.1/32"}
    chosen.update(Changes([penalty], [], is_whole=False), NOW)
    assert texts(chosen) == {"192.0.2.2/32"}


STEPS = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(0, 40),
        st.sampled_from([30, 31, 32]),
        st.sampled_from([FOREVER, 2.0, 5.0, 50.0]),
        st.sampled_from(Rank),
    ),
    max_size=40,
)


@given(STEPS, st.integers(1, 6))
def test_changes_lead_where_a_whole_reading_leads(steps, room):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "MAX_SINGLE", room)
        elements, held, now, known = Elements(), [], NOW, {}
        for adds, host, length, seconds, rank in steps:
            one = refusal(ip_network((0x0A000000 + host, length), strict=False), seconds, rank)
            gone, new = ([], [one]) if adds else ([one] if one in held else [], [])
            now += 0.5
            held += [row for row in new if row.until - now >= SHORTEST]
            for row in gone:
                held.remove(row)
            held = [row for row in held if row.until > now]
            for key in elements.update(Changes(gone, new, is_whole=False), now):
                known[key] = elements.end_of(key)
        every = {row[:2] for row in held}
        present = elements.keys()
        assert {key: end for key, end in known.items() if end is not None} == {k: elements.end_of(k) for k in present}
        assert present <= every
        single = {key for key in every if key[1] == 128}
        chosen = {key for key in present if key[1] == 128}
        assert len(chosen) == min(room, len(single))
        assert elements.left_out == len(single) - len(chosen)
        ranks = {key: min(row.rank for row in held if row[:2] == key) for key in single}
        assert all(ranks[inside] <= ranks[outside] for inside in chosen for outside in single - chosen)
        wide = [network_of(key) for key in present - chosen]
        assert not any(one.overlaps(other) for one, other in pairwise(sorted(wide)))
        assert all(any(network_of(key).subnet_of(one) for one in wide) for key in every - single)
