# SPDX-License-Identifier: GPL-3.0-or-later
"""Prefixes by the million: C packs what Python packs."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sentry_engine.addresses import AddressError
from sentry_engine.rules import prefix_columns
from sentry_engine.rules.prefix_columns import pack_in_c, pack_networks
from tests.sentry_engine.address_texts import SPARSE, V4, V6, pack_one_by_one


class TestPrefixColumns:
    LENGTHS = st.integers(0, 130).map("/{}".format) | st.sampled_from(
        ["", "/", "/08", "/+8", "/8 ", "/8/8", "/1e1", "\n"]
    )
    WHOLE = st.ip_addresses().map(ipaddress.ip_network).map(str) | st.builds(
        lambda address, cut: str(ipaddress.ip_network((address, address.max_prefixlen * cut // 8), strict=False)),
        st.ip_addresses(),
        st.integers(0, 8),
    )
    ODD = st.builds(str.__add__, st.one_of(V4, V6, SPARSE, st.sampled_from(["10.0.0.0", "::", "fe80::%eth0"])), LENGTHS)

    @given(st.lists(WHOLE | WHOLE | ODD, max_size=6))
    @example([])
    @example([""])
    @example(["10.0.0.0/8\n10.0.0.0/8"])
    @example(["10.0.0.0/8", "\n10.0.0.0/8", ""])
    @example(["::ffff:10.0.0.0/104", "::ffff:10.0.0.0/8", "0.0.0.0/0", "::/0"])
    @example(["10.0.0.1/31", "10.0.0.0/31"])
    @example(["\uff11.2.3.4"])
    def test_c_packs_what_python_packs(self, texts):
        assert pack_in_c(texts) == pack_one_by_one(texts)

    def test_without_the_core_the_rows_are_the_same(self, monkeypatch):
        texts = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]
        found = pack_networks(texts)
        monkeypatch.setattr(prefix_columns, "_core", None)
        assert pack_networks(texts) == found
        with pytest.raises(AddressError, match="host bits"):
            pack_networks([*texts, "10.0.0.1/8"])
