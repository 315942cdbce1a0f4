# SPDX-License-Identifier: GPL-3.0-or-later
import tracemalloc
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.http_headers import Header
from vpn_frontend.protocol.constants import MAX_BODY, MAX_HEAD, MAX_HEADERS
from vpn_frontend.protocol.http import (
    MAX_EARLY,
    MAX_PIECES,
    MAX_REQUEST,
    MAX_REQUESTS,
    MAX_TRAILER,
    HttpConnection,
    HttpError,
    HttpResponse,
    keep_rendered,
    render_head,
)

POST = b"POST /auth?x=1 HTTP/1.1\r\nHost: vpn\r\nCookie: a=1; webvpn=abc\r\nContent-Length: 5\r\n\r\nhello"
CONNECT = b"CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: vpn\r\nCookie: webvpn=abc\r\n\r\n"
OK = HttpResponse(200, "OK", (("X-Case-Kept", "1"),), b"body")


def feed(connection, data, size=4096):
    for start in range(0, len(data), size):
        connection.receive(data[start : start + size])


def refused(connection, data, size=4096):
    with pytest.raises(HttpError) as caught:
        feed(connection, data, size)
    answer = connection.refuse(caught.value)
    assert answer.startswith(b"HTTP/1.1 %d " % caught.value.status)
    return caught.value.status


def test_a_request_is_read_whole():
    request = HttpConnection().receive(POST)
    assert (request.method, request.path, request.query, request.body) == ("POST", "/auth", "x=1", b"hello")
    assert request.cookie("webvpn") == "abc"
    assert request.cookie("web") == ""
    assert request.header("host") == "vpn"


def test_a_request_is_read_byte_by_byte():
    connection = HttpConnection()
    received = [connection.receive(POST[index : index + 1]) for index in range(len(POST))]
    assert received[:-1] == [None] * (len(POST) - 1)
    assert received[-1] == HttpConnection().receive(POST)


def test_a_truncated_request_is_incomplete():
    for end in range(len(POST)):
        assert HttpConnection().receive(POST[:end]) is None


def test_responses_keep_their_case_and_the_connection():
    connection = HttpConnection()
    connection.receive(POST)
    assert connection.respond(OK) == b"HTTP/1.1 200 OK\r\nX-Case-Kept: 1\r\nContent-Length: 4\r\n\r\nbody"
    assert not connection.closing
    assert connection.receive(POST) is not None


def test_the_response_to_head_has_no_body():
    connection = HttpConnection()
    connection.receive(b"HEAD / HTTP/1.1\r\nHost: vpn\r\n\r\n")
    assert connection.respond(OK).endswith(b"Content-Length: 4\r\n\r\n")


def test_http_1_0_and_close_end_the_link():
    for line in (b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: vpn\r\nConnection: close\r\n\r\n"):
        connection = HttpConnection()
        assert connection.receive(line) is not None
        connection.respond(OK)
        assert connection.closing


def test_pipelining_is_refused():
    assert refused(HttpConnection(), POST + b"G") == 400
    connection = HttpConnection()
    connection.receive(POST)
    assert refused(connection, b"GET / HTTP/1.1\r\n") == 400


def test_a_smuggled_second_length_is_refused():
    assert (
        refused(HttpConnection(), b"POST / HTTP/1.1\r\nHost: v\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
        == 400
    )


def test_a_length_beside_chunks_is_refused():
    head = b"POST / HTTP/1.1\r\nHost: v\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert refused(HttpConnection(), head + b"0\r\n\r\nG") == 400


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"hello\r\n\r\n", b"\0" * 100 + b"\r\n\r\n"]
)
def test_garbage_is_a_bad_request(garbage):
    assert refused(HttpConnection(), garbage) == 400


def test_a_megabyte_of_header_is_refused_early():
    connection = HttpConnection()
    head = b"GET / HTTP/1.1\r\nHost: vpn\r\nX: "
    feed(connection, head + b"a" * (MAX_HEAD - len(head)))
    assert refused(connection, b"a" * 4096) == 431


def test_too_many_headers_are_refused():
    many = b"".join(b"X-%d: 1\r\n" % index for index in range(150))
    assert refused(HttpConnection(), b"GET / HTTP/1.1\r\nHost: vpn\r\n" + many + b"\r\n") == 431


def test_a_body_too_large_is_refused_by_its_announcement_and_by_its_bytes():
    head = b"POST / HTTP/1.1\r\nHost: vpn\r\nContent-Length: %d\r\n\r\n"
    assert refused(HttpConnection(), head % (MAX_BODY + 1)) == 413
    chunked = (
        b"POST / HTTP/1.1\r\nHost: vpn\r\nTransfer-Encoding: chunked\r\n\r\n" + b"4000\r\n" + b"x" * 16384 + b"\r\n"
    )
    assert refused(HttpConnection(), chunked + (b"4000\r\n" + b"x" * 16384 + b"\r\n") * 4) == 413


def test_a_body_in_too_many_pieces_is_refused():
    """A chunk of six bytes on the wire costs as much as a large one."""
    chunked = b"POST / HTTP/1.1\r\nHost: vpn\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert refused(HttpConnection(), chunked + b"1\r\nx\r\n" * (MAX_PIECES + 1)) == 413
    connection = HttpConnection()
    feed(connection, b"POST / HTTP/1.1\r\nHost: vpn\r\nContent-Length: 9999\r\n\r\n")
    for _ in range(MAX_PIECES):
        connection.receive(b"x")
    assert refused(connection, b"x") == 413


def test_the_largest_body_is_taken():
    head = b"POST / HTTP/1.1\r\nHost: vpn\r\nContent-Length: %d\r\n\r\n" % MAX_BODY
    assert len(HttpConnection().receive(head + bytes(MAX_BODY)).body) == MAX_BODY


def test_a_connection_ends_after_its_number_of_requests():
    connection = HttpConnection()
    for _ in range(MAX_REQUESTS - 1):
        connection.receive(POST)
        connection.respond(OK)
    assert not connection.closing
    connection.receive(POST)
    assert b"Connection: close" in connection.respond(OK)
    assert connection.closing


@pytest.mark.parametrize("more", [(), (Header("X-Frame-Options", "DENY"),)])
@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("data", [POST, b"HEAD / HTTP/1.1\r\nHost: vpn\r\n\r\n", CONNECT])
def test_a_kept_rendering_changes_no_byte_of_any_response(more, close, data):
    response = HttpResponse(200, "OK", (("X-A", "1"),), b"body", close)
    answers = []
    for kept in (response, keep_rendered(replace(response))):
        connection = HttpConnection(more)
        connection.receive(data)
        answers.append((connection.respond(kept), connection.closing))
    assert answers[0] == answers[1]
    assert not replace(keep_rendered(response)).rendered


def test_what_follows_a_connect_belongs_to_the_tunnel():
    connection = HttpConnection()
    request = connection.receive(CONNECT + b"STF")
    assert (request.method, request.path) == ("CONNECT", "/CSCOSSLC/tunnel")
    assert connection.receive(b"\x01more") is None
    head, early = connection.open_tunnel(
        "CONNECTED", [("X-CSTP-MTU", "1400"), ("X-CSTP-DNS", "a"), ("X-CSTP-DNS", "b")]
    )
    assert head == b"HTTP/1.1 200 CONNECTED\r\nX-CSTP-MTU: 1400\r\nX-CSTP-DNS: a\r\nX-CSTP-DNS: b\r\n\r\n"
    assert early == b"STF\x01more"


def test_a_refused_connect_ends_the_connection():
    connection = HttpConnection()
    connection.receive(CONNECT)
    assert connection.respond(HttpResponse(401, "Cookie is not acceptable")).startswith(
        b"HTTP/1.1 401 Cookie is not acceptable\r\n"
    )
    assert connection.closing


def test_a_flood_behind_a_connect_is_refused():
    connection = HttpConnection()
    connection.receive(CONNECT)
    assert refused(connection, bytes(MAX_EARLY + 1)) == 400


@given(st.binary(max_size=600), st.integers(1, 64))
def test_any_bytes_are_a_request_or_an_error_or_incomplete(data, piece):
    connection = HttpConnection()
    with suppress(HttpError):
        for start in range(0, len(data), piece):
            if connection.receive(data[start : start + piece]) is not None:
                connection.respond(OK)
                return


def test_requests_may_follow_one_in_another_spelling():
    connection = HttpConnection()
    chunked = b"POST / HTTP/1.1\r\nHost: vpn\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
    for _ in range(2):
        assert connection.receive(chunked).body == b"hello"
        connection.respond(OK)
        assert connection.receive(POST).body == b"hello"
        connection.respond(OK)
        assert not connection.closing


def test_nothing_follows_the_last_response():
    connection = HttpConnection()
    connection.receive(CONNECT)
    connection.open_tunnel("CONNECTED", ())
    assert connection.refuse(HttpError(400, "Bad Request")) == b""


@pytest.mark.parametrize("text", ["a\r\nX: b", "a\nb", "a\rb", "a\0b", "a\n\rb"])
def test_no_text_ends_its_line(text):
    with pytest.raises(ValueError, match="end of a line"):
        render_head(200, "OK", [("X-Reason", text)])
    with pytest.raises(ValueError, match="end of a line"):
        render_head(200, text, ())


@pytest.mark.parametrize("pieces", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\nHost: vpn\n\n",
        b"GET / HTTP/1.1\r\nHost: vpn\nX: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: vpn\r\nX: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: vpn\r\nX: a\r\n\tb\r\n\r\n",
        b"\nGET / HTTP/1.1\r\nHost: vpn\r\n\r\n",
    ],
)
def test_a_bare_line_feed_and_a_folded_header_are_refused(head, pieces):
    assert refused(HttpConnection(), head, pieces) == 400


def test_the_limit_of_a_head_holds_in_one_piece_and_in_many():
    line = b"GET / HTTP/1.1\r\nHost: vpn\r\nConnection: close\r\n"
    fits = line + b"X: " + b"a" * (MAX_HEAD - len(line) - 7) + b"\r\n\r\n"
    assert len(fits) == MAX_HEAD
    assert HttpConnection().receive(fits) is not None
    for size in (100, 1 << 20):
        assert refused(HttpConnection(), fits.replace(b"X: ", b"X: a"), size) == 431


def test_the_limit_of_a_trailer_holds_in_one_piece_and_in_many():
    head = b"POST / HTTP/1.1\r\nHost: vpn\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    fields = b"".join(b"X-%d: a\r\n" % number for number in range(MAX_HEADERS + 1))
    for trailer in (b"X: " + b"a" * (MAX_HEAD + 1) + b"\r\n", fields):
        for size in (1, 1000, 1 << 20):
            assert refused(HttpConnection(), head + trailer + b"\r\n", size) in {400, 431}
    assert HttpConnection().receive(head + b"X: a\r\n\r\n") is not None


START = b"POST /auth HTTP/1.1\r\nHost: vpn\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
LARGE = START + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 67) for n in range(MAX_HEADERS - 3))  # half of a head's limit
FULL = START + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 155) for n in range(MAX_HEADERS - 3))
HELD = min(MAX_BODY, MAX_REQUEST - len(LARGE) - 100)  # bytes of a body that fit
UNFINISHED = {
    "a head of one field": START + b"X: " + b"a" * (MAX_HEAD - len(START) - 3),
    "a head of many fields": (START + b"X:\r\n" * MAX_HEAD)[:MAX_HEAD],
    "a body": LARGE + b"Content-Length: %d\r\n\r\n" % HELD + b"b" * (HELD - 1),
    "a body behind a full head": FULL + b"Content-Length: 20000\r\n\r\n" + b"b" * 19_999,
    "a chunk": LARGE + CHUNKED + b"%x\r\n" % HELD + b"b" * (HELD - 1),
    "chunks": LARGE + CHUNKED + (b"40\r\n" + b"b" * 64 + b"\r\n") * (HELD // 64),
    "a trailer": LARGE + CHUNKED + b"%x\r\n%s\r\n0\r\nX: " % (HELD, b"b" * HELD) + b"a" * (MAX_TRAILER - 3),
    "an extension of a chunk": LARGE + CHUNKED + b"1;" + b"a" * (MAX_TRAILER - 3),
}


@pytest.mark.parametrize("piece", [1400, 16_384])
@pytest.mark.parametrize("data", UNFINISHED.values(), ids=UNFINISHED.keys())
def test_an_unfinished_request_is_held_in_less_than_64_kib(data, piece):
    connections = [HttpConnection() for _ in range(10)]
    tracemalloc.start()
    try:
        for connection in connections:
            for start in range(0, len(data), piece):
                assert connection.receive(data[start : start + piece]) is None
        held = tracemalloc.get_traced_memory()[0] / len(connections)
    finally:
        tracemalloc.stop()
    assert held < 60 << 10  # the gateway keeps less than 4 KiB more


def test_head_and_body_have_a_limit_together():
    length = MAX_REQUEST - len(FULL) - 100
    assert HttpConnection().receive(FULL + b"Content-Length: %d\r\n\r\n" % length + b"b" * length) is not None
    for data in (b"Content-Length: %d\r\n\r\n" % MAX_BODY, CHUNKED + b"%x\r\n" % MAX_BODY + b"b" * MAX_BODY):
        assert refused(HttpConnection(), FULL + data, 1400) == 413


@pytest.mark.parametrize("version", [b"0.9", b"0.0", b"1.2", b"2.0", b"9.9"])
def test_another_version_of_http_is_refused(version):
    assert refused(HttpConnection(), b"GET / HTTP/" + version + b"\r\nHost: vpn\r\n\r\n") in {400, 505}


def test_a_complete_request_leaves_no_copy_in_the_connection():
    """A login's body holds a password. The connection may stay open for long."""
    connection = HttpConnection()
    body = b"username=alice&password=correct-horse"
    request = None
    for piece in (b"POST / HTTP/1.1\r\nhost:x\r\ncontent-length: %d\r\n\r\n" % len(body), body):
        request = connection.receive(piece) or request
    assert request is not None
    assert request.body == body
    kept = [getattr(connection, name) for name in connection.__slots__]
    assert not any(one is request or one == body for one in kept)
