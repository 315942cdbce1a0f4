# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from vpn_frontend._gateway import lib
from vpn_frontend.protocol.constants import MIN_MTU
from vpn_frontend.settings import MAX_WORKERS, parse_endpoint


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("0.0.0.0:443", "0.0.0.0:443"),
        (" 192.0.2.1:1 ", "192.0.2.1:1"),
        ("[::]:65535", "[::]:65535"),
        ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        ("*:4443", "[::]:4443"),
    ],
)
def test_an_endpoint_is_read_and_rendered(text, rendered):
    assert str(parse_endpoint(text)) == rendered


@pytest.mark.parametrize(
    "text",
    ["", "443", "192.0.2.1", ":443", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:+443", "192.0.2.1:4 43",
     "::1:443", "[192.0.2.1]:443", "[::1:443", "host:443", "192.0.2.1:٤٤٣", "192.0.2.1:000443"],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused_in_words(text):
    with pytest.raises(ValueError, match=r"."):
        parse_endpoint(text)


def test_the_core_s_bounds_are_those_of_the_settings():
    assert lib.GW_WORKERS_MAX == MAX_WORKERS
    assert lib.GW_MTU_MIN <= MIN_MTU, "the core refuses no MTU that a client is granted"
