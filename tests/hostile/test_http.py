# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests over TLS that break HTTP, hide a second request, name files, or exceed the limits."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

import pytest

from lab.clients.cstp_client import connect_request, login_request, read_answer
from lab.traffic.probes import drain, open_tls

HOST = b"Host: vpn.example.org\r\n"
CHANCE = random.Random(2)
LOGIN = b"<config-auth client='vpn' type='init'></config-auth>"


def get(path: bytes = b"/", *lines: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    return b"GET " + path + b" " + version + b"\r\n" + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def post(*lines: bytes, body: bytes = LOGIN) -> bytes:
    return b"POST / HTTP/1.1\r\n" + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


# Answered by an error or by nothing.
REFUSED = {
    "noise": CHANCE.randbytes(3000),
    "only line ends": b"\r\n" * 100,
    "no target": b"GET\r\n\r\n",
    "four words": b"GET / / HTTP/1.1\r\n" + HOST + b"\r\n",
    "no version": b"GET /\r\n\r\n",
    "HTTP/0.9": b"GET / HTTP/0.9\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "lower case version": get(version=b"http/1.1"),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": get(b"/", b"Host: another.example.org"),
    "NUL in the target": get(b"/\0"),
    "NUL in a value": get(b"/", b"X-A: a\0b"),
    "tab in a name": get(b"/", b"X\tA: b"),
    "space before the colon": get(b"/", b"X-A : b"),
    "empty header name": get(b"/", b": empty"),
    "line without a colon": get(b"/", b"nothing here"),
    "bare CR": get(b"/", b"X-A: a\rX-B: b"),
    "method of 10 000 letters": b"G" * 10_000 + b" / HTTP/1.1\r\n" + HOST + b"\r\n",
    "target of 20 000 letters": get(b"/" + b"a" * 20_000),
    "header of 60 000 letters": get(b"/", b"X-Pad: " + b"a" * 60_000),
    "5000 headers": get(b"/", *[b"X-%d: a" % number for number in range(5000)]),
    "101 headers": get(b"/", *[b"X-%d: a" % number for number in range(101)]),
    "negative length": post(b"Content-Length: -5"),
    "signed length": post(b"Content-Length: +5"),
    "length in hexadecimal": post(b"Content-Length: 0x34"),
    "length with a point": post(b"Content-Length: 52.0"),
    "length of 30 digits": post(b"Content-Length: " + b"9" * 30),
    "length of 4300 digits": post(b"Content-Length: " + b"9" * 4301),
    "length of 2^64 + 52": post(b"Content-Length: 18446744073709551668"),
    "two lengths": post(b"Content-Length: 52", b"Content-Length: 53"),
    "list of lengths": post(b"Content-Length: 52, 53"),
    "length and chunks": post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunks and length": post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
    "unknown coding": post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "chunked twice": post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
    "chunk of 2^64": post(b"Transfer-Encoding: chunked", body=b"10000000000000000\r\n"),
    "negative chunk": post(b"Transfer-Encoding: chunked", body=b"-1\r\n"),
    "chunk without an end": post(b"Transfer-Encoding: chunked", body=b"5\r\nhelloXX0\r\n\r\n"),
    "5000 chunks of one byte": post(b"Transfer-Encoding: chunked", body=b"1\r\n<\r\n" * 5000),
    "chunks of 100 KB": post(b"Transfer-Encoding: chunked", body=(b"2000\r\n" + b"<" * 0x2000 + b"\r\n") * 13),
    "trailer of 20 000 letters": post(b"Transfer-Encoding: chunked", body=b"0\r\nX: " + b"a" * 20_000 + b"\r\n\r\n"),
    "body of 4 MB": post(b"Content-Length: 4194304", body=b"<" * (4 << 20)),
    "body that says 100 GB": post(b"Content-Length: 99999999999", body=b"<" * 1000),
    "two requests at once": get() + get(),
    "a second request in the body": post(b"Content-Length: 52", body=LOGIN + get(b"/admin")),
    "a request behind chunks": post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + get(b"/admin")),
    "a login behind a login": login_request("carol", "wrong") + login_request("carol", "wrong"),
    "TRACE": b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n",
    "OPTIONS": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "unknown method": b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n",
    "as a proxy": b"CONNECT 192.0.2.1:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute target": get(b"http://192.0.2.1/admin"),
}

# Files that these names reach on other servers (CVE-2018-0296, CVE-2020-3452, CVE-2020-3187, CVE-2025-20362), and ours.
PATHS = (
    b"/+CSCOU+/../+CSCOE+/files/file_list.json?path=/sessions",
    b"/+CSCOT+/translation-table?type=mst&textdomain=/%2bCSCOE%2b/portal_inc.lua&default-language&lang=../",
    b"/+CSCOT+/oem-customization?app=AnyConnect&type=oem&platform=..&resource-type=..&name=%2bCSCOE%2b/portal_inc.lua",
    b"/+CSCOE+/session_password.html",
    b"/+CSCOE+/logon.html?lang=../../../../etc/passwd",
    b"/+CSCOE+/sdesktop/../../../../../../etc/shadow",
    b"/+webvpn+/index.html",
    b"/../../../../../../etc/passwd",
    b"/..%2f..%2f..%2fetc%2fpasswd",
    b"/%2e%2e/%2e%2e/etc/passwd",
    b"/..%252f..%252fetc%252fpasswd",
    b"/..\\..\\..\\windows\\win.ini",
    b"//etc/passwd",
    b"/1/../../server.key",
    b"/1/VPNManifest.xml/../../ocsentry.toml",
    b"/ocsentry.db",
    b"/api/v1/status",
    b"/metrics",
    b"/openapi.json",
    b"/.git/config",
    b"/cgi-bin/;id",
    b"/?q=<script>alert(1)</script>",
)
SECRETS = (b"root:", b"PRIVATE KEY", b"[vpn]", b"SQLite", b"ocsentry_", b"openapi", b"<script>", b"portal_inc.lua")


def exchange(arena, data: bytes) -> bytes:
    """Sends ``data`` on a new connection, closes that side, and returns all that came back."""
    with open_tls(arena.attacker) as stream:
        with suppress(OSError):  # the server may close before all was sent
            stream.sendall(data)
            socket.socket.shutdown(stream, socket.SHUT_WR)
        with suppress(ConnectionError):
            return drain(stream)
    return b""


def asked(arena, data: bytes) -> bytes:
    """Sends one whole request and returns the whole response."""
    with open_tls(arena.attacker) as stream:
        stream.sendall(data)
        answer = read_answer(stream)
    lines = [f"{name}: {value}" for name, values in answer.headers.items() for value in values]
    return f"HTTP/1.1 {answer.status} \r\n".encode() + "\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body


@pytest.mark.parametrize("request_bytes", REFUSED.values(), ids=REFUSED.keys())
def test_a_malformed_request_is_refused(arena, request_bytes):
    answer = exchange(arena, request_bytes)
    status = answer.split(b" ", 2)[1] if answer else b"400"
    assert status[:1] in {b"4", b"5"}
    assert status not in {b"500", b"502"}


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
def test_no_path_reaches_a_file(arena, path):
    answer = asked(arena, get(path))
    assert answer.split(b" ", 2)[1] in {b"200", b"400", b"404"}
    head, _, body = answer.partition(b"\r\n\r\n")
    assert not [secret for secret in SECRETS if secret in body]
    assert path not in head


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 1000, 9000])
def test_a_cookie_of_any_length_opens_nothing(arena, length):
    assert asked(arena, connect_request("A" * length)).split(b" ", 2)[1] in {b"401", b"400"}


@pytest.mark.parametrize("cookie", ["%s" * 20, "../../etc", "' OR 1=1 --", "\xff" * 40, '""', "=" * 40, "a; webvpn=b"])
def test_a_cookie_of_strange_letters_opens_nothing(arena, cookie):
    assert asked(arena, connect_request(cookie)).split(b" ", 2)[1] in {b"401", b"400"}


def test_a_value_of_the_request_never_becomes_a_header(arena):
    answer = asked(arena, get(b"/%0d%0aSet-Cookie:%20webvpn=mine"))
    assert b"webvpn=mine" not in answer.partition(b"\r\n\r\n")[0]


def test_a_connection_answers_a_bounded_number_of_requests(arena):
    with open_tls(arena.attacker) as stream:
        for number in range(1, 201):
            stream.sendall(get(b"/none"))
            assert read_answer(stream).status == 404
            if stream.pending() == 0 and number == 100:
                break
        assert drain(stream) == b""


def test_early_bytes_behind_a_connect_are_bounded(arena):
    answer = exchange(arena, connect_request("A" * 64) + b"STF\x01\x00\x10\x00\x00" + bytes(200_000))
    assert b" 200 " not in answer.split(b"\r\n")[0]
