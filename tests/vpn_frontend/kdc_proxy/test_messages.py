# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages of MS-KKDCP, against bytes written by hand after the ASN.1 module."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.kdc_proxy.messages import (
    ProxyMessage,
    ProxyMessageError,
    parse_proxy_message,
    render_proxy_message,
)

AS_REQ = b"\0\0\0\3abc"
BARE = bytes.fromhex("300b a009 0407") + AS_REQ
WITH_REALM = bytes.fromhex("301a a009 0407") + AS_REQ + bytes.fromhex("a10d 1b0b") + b"EXAMPLE.ORG"
WITH_HINT = bytes.fromhex("3010 a009 0407") + AS_REQ + bytes.fromhex("a203 020101")


@pytest.mark.parametrize(
    ("data", "realm"), [(BARE, ""), (WITH_REALM, "EXAMPLE.ORG"), (WITH_HINT, "")], ids=["bare", "realm", "hint"]
)
def test_what_a_client_sends(data, realm):
    assert parse_proxy_message(data) == ProxyMessage(AS_REQ, realm)


def test_what_a_client_gets():
    assert render_proxy_message(AS_REQ) == BARE
    long = (300).to_bytes(4, "big") + bytes(300)
    assert render_proxy_message(long)[:12].hex() == "30820138a082013404820130"
    assert parse_proxy_message(render_proxy_message(long)).kerberos == long


@given(st.binary(min_size=1, max_size=70_000))
def test_every_message_comes_back(text):
    kerberos = len(text).to_bytes(4, "big") + text
    assert parse_proxy_message(render_proxy_message(kerberos)) == ProxyMessage(kerberos)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x30", b"\x30\x05", BARE[:-1], BARE + b"x", b"\x30\x80" + BARE[2:], b"\x30\x85\0\0\0\0\1x",
        b"\x31" + BARE[1:], bytes.fromhex("3000"), bytes.fromhex("300b a009 0307") + AS_REQ,
        bytes.fromhex("300b a009 0407") + b"\0\0\0\4abc", bytes.fromhex("3008 a006 0404 00000000"),
        bytes.fromhex("3011 a009 0407") + AS_REQ + bytes.fromhex("a104 1b02") + b"\xff\xfe",
        bytes.fromhex("3011 a009 0407") + AS_REQ + bytes.fromhex("a104 1b02") + b"a\n",
        bytes.fromhex("3011 a009 0407") + AS_REQ + bytes.fromhex("0500 0500 0500"),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_is_no_message_is_refused(data):
    with pytest.raises(ProxyMessageError):
        parse_proxy_message(data)
