# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of addresses and near addresses, and how C and Python read them."""

from __future__ import annotations

import ipaddress

from hypothesis import strategies as st

from sentry_engine.addresses import AddressError, pack_address
from sentry_engine.cores.native.core import ffi, lib
from sentry_engine.rules.prefix_columns import pack_in_python

SPELLINGS = (
    "192.0.2.1",
    "::ffff:192.0.2.1",
    "::ffff:c000:201",
    "0:0:0:0:0:FFFF:192.0.2.1",
    "::ffff:192.0.2.1%eth0",
    ipaddress.ip_address("192.0.2.1"),
    ipaddress.ip_address("::ffff:192.0.2.1"),
    pack_address("192.0.2.1"),
)


NO_ADDRESSES = (
    "",
    "192.0.2",
    "192.0.2.01",
    "1" * 10_000,
    "fe80::1%" + "x" * 100,
    "192.0.2.1\0",
    "\uff1192.0.2.1",
    "::\udc80",
)


# Addresses, and texts near them: with parts inserted, removed or exchanged.
V4 = st.ip_addresses(v=4).map(str)


V6 = st.ip_addresses(v=6).map(str)


MIXED = st.builds(lambda a, b: f"{a.exploded[:29]}:{b}", st.ip_addresses(v=6), st.ip_addresses(v=4))


SPARSE = st.lists(st.sampled_from(["0", "1", "ffff", "0000", ""]), min_size=1, max_size=10).map(":".join)


PIECES = st.lists(st.sampled_from([*"0123456789abcfFgx:.% ", "::", "255", "256", "ffff", "12.0.0.1"]), max_size=14)


def read_in_c(text: str) -> bytes | None:
    data = text.encode()
    whole, address = ffi.new("char[]", len(data)), ffi.new("uint8_t[16]")
    ffi.memmove(whole, data, len(data))
    return bytes(address) if lib.se_address_parse(whole, len(data), address) else None


def read_without_ssse3(text: str) -> bytes | None:
    """Reads IPv4 as on a processor without SSSE3."""
    data = text.encode()
    whole, address = ffi.new("char[]", len(data)), ffi.new("uint8_t[4]")
    ffi.memmove(whole, data, len(data))
    found = lib.se_ipv4_parse_portably(whole, len(data), address)
    return bytes(10) + b"\xff\xff" + bytes(address) if found else None


def read_in_python(text: str) -> bytes | None:
    try:
        return pack_address(text)
    except AddressError:
        return None


def pack_one_by_one(texts: list[str]) -> tuple[bytes, bytes] | None:
    try:
        return pack_in_python(texts)
    except AddressError:
        return None
