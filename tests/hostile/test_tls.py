# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes that are no TLS, or TLS that breaks off or breaks the rules, on the VPN's TCP port."""

from __future__ import annotations

import random
import socket
import ssl
import struct
from contextlib import suppress

import pytest

from lab.network import SERVER_IPV4, SERVER_IPV6
from lab.timeouts import TIMEOUT
from lab.traffic.probes import drain, open_tls, tls_context

PORT = 443
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
REFUSED = (ssl.SSLError, ConnectionError)
CHANCE = random.Random(1)
ALERT, HANDSHAKE, DATA, CHANGE_CIPHER = 21, 22, 23, 20


def record(kind: int, payload: bytes, *, version: int = 0x0301, size: int | None = None) -> bytes:
    return struct.pack("!BHH", kind, version, len(payload) if size is None else size) + payload


def client_hello() -> bytes:
    """What a real client sends first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = tls_context().wrap_bio(incoming, outgoing)
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def hello_body(*, session_id: bytes = b"", suites: bytes = b"\x13\x01", extensions: bytes = b"") -> bytes:
    return (
        b"\x03\x03" + bytes(32) + bytes([len(session_id)]) + session_id
        + struct.pack("!H", len(suites)) + suites + b"\x01\x00" + struct.pack("!H", len(extensions)) + extensions
    )  # fmt: skip


def handshake(body: bytes, *, kind: int = 1, size: int | None = None) -> bytes:
    return record(HANDSHAKE, bytes([kind]) + (len(body) if size is None else size).to_bytes(3, "big") + body)


def extension(kind: int, body: bytes, *, size: int | None = None) -> bytes:
    return struct.pack("!HH", kind, len(body) if size is None else size) + body


HELLO = client_hello()
# Each of these must end without an HTTP answer. Written as the bytes of a client that then closes its side.
FIRST_BYTES = {
    "nothing": b"",
    "one byte": b"\x16",
    "zeros": bytes(5000),
    "noise of 6 bytes": CHANCE.randbytes(6),
    "noise of 1400 bytes": CHANCE.randbytes(1400),
    "noise of 20 000 bytes": CHANCE.randbytes(20_000),
    "plain HTTP": b"GET / HTTP/1.1\r\nHost: vpn.example.org\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "SMTP": b"EHLO example.org\r\n",
    "PROXY protocol 1": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n" + HELLO,
    "PROXY protocol 2": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12) + HELLO,
    "SSL 2 hello": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37),
    "CSTP before TLS": b"STF\x01\x00\x10\x00\x00" + bytes(16),
    "DTLS record over TCP": b"\x16\xfe\xfd" + bytes(10),
    "record without payload": record(HANDSHAKE, b""),
    "a thousand empty records": record(HANDSHAKE, b"") * 1000,
    "record longer than allowed": record(HANDSHAKE, bytes(16), size=0xFFFF),
    "record of an unknown type": record(99, b"hello"),
    "application data first": record(DATA, b"GET / HTTP/1.1\r\n\r\n"),
    "change cipher spec first": record(CHANGE_CIPHER, b"\x01"),
    "a thousand change cipher specs": record(CHANGE_CIPHER, b"\x01") * 1000,
    "fatal alert first": record(ALERT, b"\x02\x28"),
    "a thousand warnings": record(ALERT, b"\x01\x5a") * 1000,
    "alert of one byte": record(ALERT, b"\x02"),
    "hello cut in its random": HELLO[:20],
    "hello without its last byte": HELLO[:-1],
    "hello in records of one byte": b"".join(record(HANDSHAKE, HELLO[5:][i : i + 1]) for i in range(len(HELLO) - 5)),
    "hello, then noise": HELLO + CHANCE.randbytes(300),
    "hello twice": HELLO + HELLO,
    "hello, then an alert": HELLO + record(ALERT, b"\x02\x00"),
    "handshake that says 16 MB": handshake(b"", size=0xFFFFFF),
    "server hello": handshake(hello_body(), kind=2),
    "finished first": handshake(bytes(32), kind=20),
    "key update first": handshake(b"\x01", kind=24),
    "hello without suites": handshake(hello_body(suites=b"")),
    "odd length of suites": handshake(hello_body(suites=b"\x13\x01\x13")),
    "30 000 suites": b"".join(
        record(HANDSHAKE, part)
        for body in [b"\x01\x00\xea\x91" + hello_body(suites=b"\x5a\x5a" * 30_000)]
        for part in [body[i : i + 16_000] for i in range(0, len(body), 16_000)]
    ),
    "session id of 255 bytes": handshake(hello_body(session_id=bytes(255))),
    "extension longer than the hello": handshake(hello_body(extensions=extension(0, b"x", size=0xFFFF))),
    "2000 empty extensions": handshake(hello_body(extensions=extension(0x5A5A, b"") * 2000)),
    "duplicate key shares": handshake(hello_body(extensions=extension(51, b"\0\0") * 2 + extension(43, b"\2\3\4"))),
    "server name of 15 000 bytes": handshake(hello_body(extensions=extension(0, bytes(15_000)))),
    "only TLS 1.0": handshake(b"\x03\x01" + hello_body()[2:]),
}  # fmt: skip


@pytest.mark.parametrize("data", FIRST_BYTES.values(), ids=FIRST_BYTES.keys())
def test_what_is_no_handshake_ends_without_http(arena, data):
    with arena.attacker.namespace.connect((SERVER_IPV4, PORT)) as stream:
        with suppress(OSError):  # the server may close before all was sent
            stream.sendall(data)
            stream.shutdown(socket.SHUT_WR)
        assert not drain(stream).startswith(b"HTTP")


@pytest.mark.parametrize("address", [SERVER_IPV4, SERVER_IPV6])
def test_connections_that_are_reset_at_once(arena, address):
    for _ in range(200):
        with arena.attacker.namespace.connect((address, PORT)) as stream:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)


def test_a_reset_at_each_step_of_a_hello(arena):
    for size in range(0, len(HELLO), 16):
        with arena.attacker.namespace.connect((SERVER_IPV4, PORT)) as stream:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            stream.sendall(HELLO[:size])


def test_half_open_connections_leave_room_for_others(arena):
    held = [arena.attacker.namespace.connect((SERVER_IPV4, PORT)) for _ in range(200)]
    for stream in held[::2]:
        stream.sendall(HELLO[:40])
    with arena.tunnel() as tunnel:
        assert tunnel.answers()
    for stream in held:
        stream.close()


def test_a_hello_byte_by_byte_is_still_a_hello(arena):
    with arena.attacker.namespace.connect((SERVER_IPV4, PORT)) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for position in range(len(HELLO)):
            stream.sendall(HELLO[position : position + 1])
        assert stream.recv(5)[0] == HANDSHAKE


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=lambda one: one.name)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_are_refused(arena, version):
    context = tls_context()
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        arena.attacker.namespace.connect((SERVER_IPV4, PORT)) as stream,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(stream)


@pytest.mark.parametrize("ciphers", ["aNULL", "NULL", "RSA", "3DES", "RC4", "CBC"])
def test_weak_suites_are_refused(arena, ciphers):
    context = tls_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    names = {"RSA": "kRSA", "CBC": "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA"}
    try:
        context.set_ciphers(f"{names.get(ciphers, ciphers)}:@SECLEVEL=0")
    except ssl.SSLError:
        pytest.skip(f"this OpenSSL has no {ciphers}")
    with (
        arena.attacker.namespace.connect((SERVER_IPV4, PORT)) as stream,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(stream)


@pytest.mark.parametrize("after", ["raw bytes", "a broken record", "a reset", "a half close"])
def test_a_connection_that_breaks_after_its_handshake(arena, after):
    stream = open_tls(arena.attacker)
    raw = socket.socket(fileno=stream.detach()) if after != "a half close" else stream
    raw.settimeout(TIMEOUT)
    with raw:
        match after:
            case "raw bytes":
                raw.sendall(CHANCE.randbytes(500))
            case "a broken record":
                raw.sendall(record(DATA, CHANCE.randbytes(200), version=0x0303))
            case "a reset":
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                return
            case "a half close":
                socket.socket.shutdown(raw, socket.SHUT_WR)
        assert b"HTTP" not in drain(raw)
