# SPDX-License-Identifier: GPL-3.0-or-later
import base64

import pytest

from vpn_frontend.protocol.client_offer import MAX_KEY, NO_OFFER, ClientOffer, read_offer
from vpn_frontend.protocol.config_auth import MAX_AUTH_METHOD, MAX_AUTH_METHODS, parse_message
from vpn_frontend.protocol.http_fast_path import HttpRequest

INIT = '<config-auth client="vpn" type="init"><version who="vpn">v9.01</version>{}</config-auth>'
CAPABLE = "<capabilities><auth-method>single-sign-on-v2</auth-method><auth-method>{}</auth-method></capabilities>"


def offer(inner="", **headers):
    message = parse_message(INIT.format(inner).encode(), "")
    lines = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return read_offer(HttpRequest("POST", "/", "", lines, b""), message)


def test_what_openconnect_offers():
    found = offer(
        CAPABLE.format("single-sign-on-external-browser"),
        host="vpn.example:443",
        x_anyconnect_strap_pubkey=base64.b64encode(b"k" * 91).decode(),
        x_anyconnect_strap_dh_pubkey=base64.b64encode(b"d" * 91).decode(),
    )
    assert found == ClientOffer(
        frozenset({"single-sign-on-v2", "single-sign-on-external-browser"}),
        False,
        "vpn.example:443",
        b"k" * 91,
        b"d" * 91,
    )
    assert offer() == NO_OFFER
    assert offer("<client-cert-fail/>") == ClientOffer(certificate_failed=True)


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer a.b.c", "a.b.c"), ("bearer=a.b.c", "a.b.c"), ("Bearer  x ", "x"), ("Bearer", ""), ("Bearerx", ""),
     ("Negotiate a.b.c", ""), ("", "")],
)  # fmt: skip
def test_a_bearer_token(header, token):
    assert offer(authorization=header).bearer == token


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        ("192.0.2.1", True),
        ("[2001:db8::1]:8443", True),
        ("vpn.example/path", False),
        ("user@vpn.example", False),
        ("vpn\u00e9.example", False),
        ("a" * 300, False),
        ("vpn.example:443443", False),
    ],
)
def test_a_host_that_may_stand_in_a_url(host, kept):
    assert offer(host=host).host == (host if kept else "")


@pytest.mark.parametrize("text", ["no base64!", "QQ", base64.b64encode(bytes(MAX_KEY + 1)).decode(), "Q" * 100_000])
def test_what_is_no_key_is_none(text):
    assert offer(x_anyconnect_strap_pubkey=text).strap_key == b""


def test_capabilities_are_bounded():
    words = "".join(f"<auth-method>{number}</auth-method>" for number in range(40))
    assert len(offer(f"<capabilities>{words}</capabilities>").methods) == MAX_AUTH_METHODS
    long = "x" * (MAX_AUTH_METHOD + 1)
    assert offer(CAPABLE.format(long)).methods == {"single-sign-on-v2"}
    assert offer("<auth><auth-method>single-sign-on-v2</auth-method></auth>").methods == frozenset()
