# SPDX-License-Identifier: GPL-3.0-or-later
import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.protocol import http_fast_path
from vpn_frontend.protocol.constants import MAX_BODY, MAX_HEAD
from vpn_frontend.protocol.http_fast_path import HttpRequest, parse_plain_request

HEADS = [
    b"GET / HTTP/1.1\r\nHost: vpn\r\n\r\n",
    b"HEAD /1/index.html?x=1&y HTTP/1.1\r\nHost: vpn:443\r\nUser-Agent: Open AnyConnect VPN Agent v9.01\r\n\r\n",
    b"CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: [::1]\r\nX-CSTP-Address-Type: IPv6,IPv4\r\nCookie: a=b; c\r\n\r\n",
    b"POST /auth HTTP/1.1\r\nHost: vpn\r\nX-Pad: ~!\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /auth HTTP/1.1\r\ncontent-length: 0\r\nhOST: vpn\r\n\r\n",
]
UNUSUAL = [
    b"GET / HTTP/1.0\r\nHost: vpn\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\nHost: vpn\n\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: vpn\r\nX: a\r\n b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: vpn\r\nX : a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: vpn\r\nX:a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: vpn\r\nX: a \r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: vpn\r\nX: \r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: vpn\r\nX: \xe4\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: vpn\r\nX: a\tb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: vpn\r\nX: a\0b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: vpn\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: vpn\r\nUpgrade: h2c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: vpn\r\n\r\nG",
    b"GET / HTTP/1.1\r\nHost: vpn\r\nContent-Length: 1\r\n\r\nx",
    b"PUT / HTTP/1.1\r\nHost: vpn\r\n\r\n",
    b"\r\nGET / HTTP/1.1\r\nHost: vpn\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: vpn\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: vpn\r\nContent-Length: 2\r\n\r\nx",
    b"POST / HTTP/1.1\r\nHost: vpn\r\nContent-Length: 1\r\n\r\nxx",
    b"POST / HTTP/1.1\r\nHost: vpn\r\nContent-Length: +1\r\n\r\nx",
    b"POST / HTTP/1.1\r\nHost: vpn\r\nContent-Length: 1, 1\r\n\r\nx",
    b"POST / HTTP/1.1\r\nHost: vpn\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    b"POST / HTTP/1.1\r\nHost: vpn\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx",
    b"POST / HTTP/1.1\r\nHost: vpn\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0",
    b"CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: vpn\r\nContent-Length: 1\r\n\r\nx",
]


def read_with_h11(data):
    """What h11 makes of ``data``: the request, and what follows it. Raises where h11 refuses."""
    reader = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
    reader.receive_data(data)
    request = reader.next_event()
    assert isinstance(request, h11.Request)
    body = b""
    while not isinstance(event := reader.next_event(), h11.EndOfMessage):
        body += event.data
    path, _, query = request.target.decode().partition("?")
    headers = tuple((name.decode(), value.decode()) for name, value in request.headers)
    assert reader.their_state in (h11.DONE, h11.MIGHT_SWITCH_PROTOCOL)
    return HttpRequest(request.method.decode(), path, query, headers, body), reader.trailing_data[0]


@pytest.mark.parametrize("data", HEADS)
def test_what_clients_send_is_plain_once_it_is_whole(data):
    assert parse_plain_request(data) == read_with_h11(data)
    for end in range(len(data)):
        assert parse_plain_request(data[:end]) is None


def test_what_follows_a_connect_is_given_back():
    request, rest = parse_plain_request(HEADS[2] + b"STF\x01\r\n\r\n")
    assert (request.body, rest) == (b"", b"STF\x01\r\n\r\n")


@pytest.mark.parametrize("data", UNUSUAL)
def test_what_is_unusual_is_left_alone(data):
    assert parse_plain_request(data) is None


def test_what_is_too_large_is_left_alone():
    assert parse_plain_request(b"GET / HTTP/1.1\r\nHost: vpn\r\nX: " + b"a" * MAX_HEAD + b"\r\n\r\n") is None
    many = b"".join(b"X-%d: 1\r\n" % number for number in range(150))
    assert parse_plain_request(b"GET / HTTP/1.1\r\nHost: vpn\r\n" + many + b"\r\n") is None
    assert (
        parse_plain_request(
            b"POST / HTTP/1.1\r\nHost: v\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1) + bytes(MAX_BODY + 1)
        )
        is None
    )


def test_lines_that_are_kept_are_bounded_and_no_secret():
    for number in range(2 * http_fast_path.MAX_KNOWN_LINES):
        data = b"GET / HTTP/1.1\r\nHost: %d\r\nCookie: webvpn=%d\r\nUser-Agent: %s\r\n\r\n" % (
            number,
            number,
            b"a" * 200,
        )
        assert parse_plain_request(data) == parse_plain_request(data) == read_with_h11(data)
        assert 0 < len(http_fast_path._known) <= http_fast_path.MAX_KNOWN_LINES
    assert not [line for line in http_fast_path._known if line.startswith((b"Cookie", b"User-Agent: aaa"))]


def test_heads_that_are_kept_are_bounded_and_no_secret():
    for number in range(2 * http_fast_path.MAX_KNOWN_HEADS):
        for more in (b"", b"Cookie: webvpn=%d\r\n" % number, b"Authorization: Bearer %d\r\n" % number):
            head = b"POST /%d HTTP/1.1\r\nHost: vpn\r\n%sContent-Length: 5\r\n\r\n" % (number, more)
            for body in (b"first", b"other"):
                assert parse_plain_request(head + body) == read_with_h11(head + body)
            assert parse_plain_request(head + b"four") is None
            assert parse_plain_request(head + b"sixsix") is None
        parse_plain_request(b"POST /?%d HTTP/1.1\r\nHost: vpn\r\nContent-Length: 0\r\n\r\n" % number)
        assert 0 < len(http_fast_path._heads) <= http_fast_path.MAX_KNOWN_HEADS
    assert not [head for head in http_fast_path._heads if b"Cookie" in head or b"Authorization" in head or b"?" in head]


PIECES = [
    b"\r\n",
    b"\n",
    b" ",
    b":",
    b": ",
    b"\t",
    b"\0",
    b"a",
    b"Host: vpn\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: ",
]
PIECES += [
    b"Transfer-Encoding: chunked\r\n",
    b"X: b  c\r\n",
    b"POST",
    b"/?",
    b"HTTP/1.1\r\n",
    b"1.0",
    b",",
    b"0",
    b"\xff",
    b"\x0b",
]


@given(
    st.sampled_from([*HEADS, *UNUSUAL]),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 9), st.sampled_from(PIECES))),
)
def test_whatever_is_read_h11_reads_in_the_same_way(data, edits):
    for at, removed, piece in edits[:4]:
        data = data[:at] + piece + data[at + removed :]
    for _ in range(2):  # a head that is known is read in another way
        plain = parse_plain_request(data)
        if plain is not None:
            assert plain == read_with_h11(data)
