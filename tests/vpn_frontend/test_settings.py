# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from vpn_frontend.settings import parse_endpoint


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
