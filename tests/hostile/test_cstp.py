# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of a logged-in client that break CSTP, and CONNECT headers with numbers that no client means."""

from __future__ import annotations

import random
import socket
import struct
from contextlib import suppress

import pytest

from lab.clients.cstp_client import (
    COMPRESSED,
    DATA,
    DISCONNECT,
    DPD_REQUEST,
    KEEPALIVE,
    TERMINATE,
    Answer,
    Tunnel,
    connect_request,
    frame,
    open_tunnel,
)
from lab.traffic.probes import drain, open_tls

CHANCE = random.Random(3)
MAX_PAYLOAD = 16_376  # a frame fills one TLS record

# The server closes the channel.
FATAL = {
    "noise": CHANCE.randbytes(400),
    "another magic": frame(DATA, magic=b"STF\x02"),
    "lower case magic": frame(DATA, magic=b"stf\x01"),
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a second CONNECT": connect_request("A" * 64),
    "payload of 65 535 bytes": frame(DATA, size=0xFFFF),
    "payload one byte too long": frame(DATA, size=MAX_PAYLOAD + 1),
    "one byte too few": frame(KEEPALIVE, b"ab", size=1) + frame(KEEPALIVE),
    "one byte too many": frame(KEEPALIVE, b"ab", size=3) + frame(KEEPALIVE) * 2,
    "a frame, then noise": frame(KEEPALIVE) + b"\xff" * 8,
}
# The server ignores the bytes, or answers them, and the tunnel goes on.
HARMLESS = {
    "unknown type 1": frame(1, b"x"),
    "unknown type 255": frame(255, CHANCE.randbytes(100)),
    "every unknown type": b"".join(frame(kind, b"?") for kind in range(10, 256)),
    "reserved byte set": b"STF\x01\x00\x00\x07\xff",
    "compressed data": frame(COMPRESSED, CHANCE.randbytes(200)),
    "terminate from a client": frame(TERMINATE),
    "an empty data frame": frame(DATA),
    "a thousand empty frames": frame(DATA) * 1000,
    "a thousand keepalives": frame(KEEPALIVE) * 1000,
    "a thousand DPD requests": frame(DPD_REQUEST, b"x" * 100) * 1000,
    "DPD request of the largest size": frame(DPD_REQUEST, bytes(MAX_PAYLOAD)),
    "keepalive with a payload": frame(KEEPALIVE, CHANCE.randbytes(1000)),
    "data of one byte": frame(DATA, b"\x45"),
    "data of the largest size": frame(DATA, CHANCE.randbytes(MAX_PAYLOAD)),
    "noise as data": b"".join(frame(DATA, CHANCE.randbytes(CHANCE.randrange(1400))) for _ in range(300)),
}
ENDS = {
    "disconnect": frame(DISCONNECT, b"\xb0bye"),
    "disconnect without a reason": frame(DISCONNECT),
    "disconnect with an unknown reason": frame(DISCONNECT, b"\x01"),
    "disconnect with a text of 16 KB": frame(DISCONNECT, b"\xb0" + b"A" * (MAX_PAYLOAD - 1)),
    "disconnect with control characters": frame(DISCONNECT, b"\xb0\x1b[2J\r\nlogin_accepted\0"),
    "two disconnects": frame(DISCONNECT, b"\xb0") * 2,
    "frames behind a disconnect": frame(DISCONNECT, b"\xb0") + frame(DATA, bytes(100)) * 100,
}
HEADERS = {
    "base MTU of 0": "X-CSTP-Base-MTU: 0",
    "base MTU of 1": "X-CSTP-Base-MTU: 1",
    "base MTU below the overhead": "X-CSTP-Base-MTU: 60",
    "negative base MTU": "X-CSTP-Base-MTU: -1",
    "base MTU of 2^32": "X-CSTP-Base-MTU: 4294967296",
    "base MTU of 5000 digits": "X-CSTP-Base-MTU: " + "9" * 5000,
    "MTU of 65 535": "X-CSTP-MTU: 65535",
    "MTU of unicode digits": "X-CSTP-MTU: \xb2\xb3",
    "master secret of 1 byte": "X-DTLS-Master-Secret: 00",
    "master secret of 8000 letters": "X-DTLS-Master-Secret: " + "A" * 8000,
    "master secret of no letters": "X-DTLS-Master-Secret: zz",
    "1000 suites": "X-DTLS-CipherSuite: " + ":".join(f"SUITE{number}" for number in range(1000)),
    "1000 suites for DTLS 1.2": "X-DTLS12-CipherSuite: " + ":" * 1000,
    "host name with markup": "X-CSTP-Hostname: <script>",
    "host name of 10 000 letters": "X-CSTP-Hostname: " + "a" * 10_000,
    "agent of 10 000 letters": "User-Agent: " + "a" * 10_000,
    "compression": "X-CSTP-Accept-Encoding: lzs,deflate",
    "no inner protocol": "X-CSTP-Address-Type: ",
    "another's address": "X-CSTP-Address: 192.168.99.2",
}


def closes(tunnel: Tunnel) -> bool:
    try:
        drain(tunnel.stream)
    except ConnectionError:
        return True
    return True


@pytest.mark.parametrize("data", FATAL.values(), ids=FATAL.keys())
def test_a_broken_frame_closes_its_own_channel(arena, data):
    with arena.tunnel() as tunnel:
        with suppress(OSError):
            tunnel.stream.sendall(data)
        assert not tunnel.answers()


@pytest.mark.parametrize("data", HARMLESS.values(), ids=HARMLESS.keys())
def test_an_odd_frame_leaves_the_tunnel_up(arena, data):
    with arena.tunnel() as tunnel:
        tunnel.stream.sendall(data)
        assert tunnel.answers()


@pytest.mark.parametrize("data", ENDS.values(), ids=ENDS.keys())
def test_a_disconnect_of_any_form_closes_the_channel(arena, data):
    with arena.tunnel() as tunnel:
        tunnel.stream.sendall(data)
        assert closes(tunnel)


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_a_header_out_of_range_counts_as_not_sent(arena, header):
    opened = open_tunnel(arena.attacker, arena.cookie(), header)
    if isinstance(opened, Answer):
        assert opened.status in {400, 401, 431, 503}
        arena.end_sessions()
        return
    with opened.stream:
        assert 576 <= int(opened.headers["x-cstp-mtu"][0]) <= 1500
        assert "deflate" not in str(opened.headers)
        assert opened.ipv4 != "192.168.99.2"
        assert opened.answers()
    arena.end_sessions()


def test_frames_cut_at_every_byte(arena):
    with arena.tunnel() as tunnel:
        tunnel.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in frame(DPD_REQUEST, b"slow") + frame(KEEPALIVE) + frame(DATA, bytes(40)):
            tunnel.stream.sendall(bytes([byte]))
        assert tunnel.receive() == (4, b"slow")
        assert tunnel.answers()


def test_an_unfinished_frame_is_given_up_with_its_channel(arena):
    for size in (1, 4, 7, 8, 9, 500):
        with arena.tunnel() as tunnel:
            tunnel.stream.sendall(frame(DATA, bytes(1000))[:size])


def test_frames_that_came_with_the_request(arena):
    with open_tls(arena.attacker) as stream:
        stream.sendall(connect_request(arena.cookie()) + frame(DPD_REQUEST, b"early") + frame(255, b"?"))
        tunnel = Tunnel(stream, "", "", {})
        while b"\r\n\r\n" not in tunnel.pending:
            tunnel.pending += stream.recv(65536)
        tunnel.pending = tunnel.pending.partition(b"\r\n\r\n")[2]
        assert tunnel.receive() == (4, b"early")
    arena.end_sessions()


def test_a_client_that_never_reads_gets_no_unbounded_queue(arena):
    """DPD answers pile up on a connection whose client reads nothing: the invariant holds the memory."""
    with arena.tunnel() as tunnel:
        tunnel.stream.settimeout(2)
        with suppress(OSError):
            for _ in range(2000):
                tunnel.stream.sendall(frame(DPD_REQUEST, bytes(8000)))


def test_a_reset_in_the_middle_of_a_frame(arena):
    with arena.tunnel() as tunnel:
        tunnel.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        tunnel.stream.sendall(frame(DATA, bytes(1000))[:500])
