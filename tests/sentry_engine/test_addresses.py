# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses as text: both languages read the same, as ``pack_address`` does."""

from __future__ import annotations

from itertools import product

from hypothesis import example, given
from hypothesis import strategies as st

from sentry_engine.addresses import pack_address
from tests.sentry_engine.address_texts import (
    MIXED,
    PIECES,
    SPARSE,
    V4,
    V6,
    read_in_c,
    read_in_python,
    read_without_ssse3,
)

# Of each length, and next to what a part may be.
PARTS = ("0", "7", "9", "10", "99", "100", "199", "255", "256", "999", "00", "01", "010", "1000", "", "/", "1:", "-1")


class TestText:
    @given(st.one_of(V4, V6, MIXED, SPARSE, PIECES.map("".join)))
    @example("1:2:3:4:5:6:7::")
    @example("1:2:3:4:5:6:7:8::")
    @example("::1:2:3:4:5:6:7:8")
    @example("1:2:3:4:5:6:7:1.2.3.4")
    @example("::1.2.3.4:5")
    @example("1::%")
    def test_c_reads_what_python_reads(self, text):
        assert read_in_c(text) == read_in_python(text)

    @given(st.one_of(V4, V6, MIXED), st.integers(0, 60), st.sampled_from([*"0:.%g9", "::", ""]))
    def test_one_change_of_an_address(self, text, at, put):
        for changed in (text[:at], text[:at] + put + text[at:], text[:at] + put + text[at + 1 :]):
            assert read_in_c(changed) == read_in_python(changed)

    @given(st.ip_addresses())
    def test_it_is_the_address_that_ipaddress_means(self, address):
        for text in (str(address), address.exploded, address.exploded.upper()):
            assert read_in_c(text) == pack_address(address)

    @given(
        st.tuples(*[st.sampled_from(PARTS)] * 4).map(".".join)
        | st.lists(st.sampled_from([*"0129./:"]), max_size=16).map("".join)
    )
    @example("1.1.1.1")
    @example("255.255.255.255")
    @example("1.2.3")
    @example("1.2.3.4.")
    @example("1.2.3.4.5.6.7.8")
    def test_both_ways_to_read_ipv4(self, text):
        expected = None if ":" in text else read_in_python(text)
        assert read_without_ssse3(text) == expected
        if ":" not in text:
            assert read_in_c(text) == expected

    def test_every_length_of_every_part(self):
        for parts in product(["3", "42", "201"], repeat=4):
            text = ".".join(parts)
            assert read_without_ssse3(text) == read_in_c(text) == read_in_python(text)
