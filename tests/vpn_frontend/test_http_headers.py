# SPDX-License-Identifier: GPL-3.0-or-later
"""Headers of the operator's own: what is one, which answers have them, and what stays the server's."""

import pytest

from vpn_frontend.http_headers import Header, add_headers, name_session, parse_header
from vpn_frontend.protocol.http import HttpConnection, HttpError, HttpResponse

MORE = (Header("Strict-Transport-Security", "max-age=31536000"), Header("cache-control", "public"))


def test_a_line_is_name_and_value():
    header = parse_header("X-Frame-Options:\t deny; all ")
    assert (header.name, header.value, str(header)) == ("X-Frame-Options", "deny; all", "X-Frame-Options: deny; all")


@pytest.mark.parametrize(
    "line",
    ["", "no colon", ": value", "Two Words: x", "X-Empty:", "X: a\r\nSet-Cookie: b", "X: \0", "X: \u20ac", 600 * "X:"],
    ids=lambda line: repr(line)[:20],
)
def test_what_is_none_is_refused(line):
    with pytest.raises(ValueError, match="is not Name: value"):
        parse_header(line)


@pytest.mark.parametrize("name", ["Set-Cookie", "content-length", "Transfer-Encoding", "Connection"])
def test_what_frames_an_answer_is_refused(name):
    with pytest.raises(ValueError, match="the server itself sets"):
        parse_header(f"{name}: 1")


def test_the_servers_own_go_before():
    own = [("Cache-Control", "no-store")]
    assert add_headers(own, MORE) == [*own, ("Strict-Transport-Security", "max-age=31536000")]
    as_strict = (Header("Cache-control", "no-cache, no-store"),)
    assert add_headers(own, as_strict) == [("Cache-control", "no-cache, no-store")]


def test_every_answer_before_the_tunnel_has_them():
    http = HttpConnection(MORE)
    http.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = http.respond(HttpResponse(200, "OK", (("Cache-Control", "no-store"),), b"x"))
    assert b"\r\nStrict-Transport-Security: max-age=31536000\r\n" in answer
    assert answer.lower().count(b"cache-control") == answer.lower().count(b"content-length") == 1
    with pytest.raises(HttpError) as refused:
        http.receive(b"nonsense\r\n\r\n")
    assert b"Strict-Transport-Security" in http.refuse(refused.value) or http.closing


def test_the_answer_to_connect_has_its_own_only():
    http = HttpConnection(MORE)
    http.receive(b"CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"Strict" not in http.open_tunnel("CONNECTED", (("X-CSTP-Version", "1"),))[0]


def test_names_of_a_session_end_no_header():
    assert name_session("u=%{U}, g=%{G}", "a\r\nb%{G}", "x y@z") == "u=a%0D%0Ab%25%7BG%7D, g=x%20y@z"
    assert name_session("plain %U", "a", "b") == "plain %U"
