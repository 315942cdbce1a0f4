# SPDX-License-Identifier: GPL-3.0-or-later
"""Datagrams on the DTLS port: junk, hellos of every kind, cookies of others. No answer is larger than its cause."""

from __future__ import annotations

import random
import select
import socket
import struct
from contextlib import contextmanager

import pytest

from lab.network import SERVER_IPV4, SERVER_IPV6
from lab.traffic.probes import probe

PORT = 443
CHANCE = random.Random(4)
PSK = "X-DTLS-CipherSuite: PSK-NEGOTIATE"
HELLO_VERIFY_REQUEST = 3
FENCE = 0.05  # seconds of silence after which no answer is expected; the datagrams before it were all read by then


def record(body: bytes, *, kind: int = 22, version: bytes = b"\xfe\xfd", epoch: int = 0, sequence: int = 0,
           size: int | None = None) -> bytes:  # fmt: skip
    length = len(body) if size is None else size
    return bytes([kind]) + version + struct.pack("!HIHH", epoch, sequence >> 16, sequence & 0xFFFF, length) + body


def message(body: bytes, *, kind: int = 1, number: int = 0, size: int | None = None, offset: int = 0,
            part: int | None = None) -> bytes:  # fmt: skip
    total, here = len(body) if size is None else size, len(body) if part is None else part
    return (
        bytes([kind]) + total.to_bytes(3, "big") + struct.pack("!H", number)
        + offset.to_bytes(3, "big") + here.to_bytes(3, "big") + body
    )  # fmt: skip


def hello(*, name: bytes = b"", cookie: bytes = b"", random_bytes: bytes = b"\x5a" * 32, version: bytes = b"\xfe\xfd",
          suites: bytes = b"\x00\xa9\x00\xa8", extensions: bytes = b"") -> bytes:  # fmt: skip
    return (
        version + random_bytes + bytes([len(name)]) + name + bytes([len(cookie)]) + cookie
        + struct.pack("!H", len(suites)) + suites + b"\x01\x00" + struct.pack("!H", len(extensions)) + extensions
    )  # fmt: skip


def extension(kind: int, body: bytes, *, size: int | None = None) -> bytes:
    return struct.pack("!HH", kind, len(body) if size is None else size) + body


VERSIONS_13 = extension(43, b"\x04\xfe\xfc\xfe\xfd")
# None of these is answered: the server keeps no state for it and sends no alert.
SILENT = {
    "empty": b"",
    "one byte": b"\x16",
    "13 bytes that end a careless listener": b"\x16\xfe\xfd" + bytes(10),
    "12 bytes": b"\x16\xfe\xfd" + bytes(9),
    "noise of 100 bytes": CHANCE.randbytes(100),
    "noise of 1400 bytes": CHANCE.randbytes(1400),
    "noise of 9000 bytes": CHANCE.randbytes(9000),
    "TLS record": b"\x16\x03\x01" + bytes(60),
    "DNS query": bytes.fromhex("12340100000100000000000003777777076578616d706c6503636f6d0000010001"),
    "OpenVPN reset": b"\x38" + bytes(13),
    "WireGuard initiation": b"\x01\0\0\0" + bytes(144),
    "hello without a name": record(message(hello())),
    "hello with a short name": record(message(hello(name=bytes(31)))),
    "hello with an unknown name": record(message(hello(name=b"\x77" * 32))),
    "hello with an unknown App-ID": record(message(hello(extensions=extension(48018, b"\x77" * 32)))),
    "hello with a random of zeros": record(message(hello(name=b"\x77" * 32, random_bytes=bytes(32)))),
    "hello of DTLS 1.0": record(message(hello(version=b"\xfe\xff"))),
    "hello of an unknown version": record(message(hello(version=b"\xfe\x00")), version=b"\xfe\x00"),
    "hello of DTLS 1.3 without a name": record(message(hello(extensions=VERSIONS_13))),
    "hello of DTLS 1.3 with an unknown name": record(message(hello(name=b"\x77" * 32, extensions=VERSIONS_13))),
    "first fragment": record(message(hello(), size=300, part=len(hello()))),
    "second fragment": record(message(hello(), size=300, offset=100, part=len(hello()))),
    "message longer than the record": record(message(hello(), size=0xFFFFFF, part=0xFFFFFF)),
    "record longer than the datagram": record(message(hello()), size=0xFFFF),
    "record shorter than the message": record(message(hello()), size=20),
    "two hellos": record(message(hello())) * 2,
    "cookie of 255 bytes": record(message(hello(cookie=bytes(255)))),
    "session id of 255 bytes": record(message(hello(name=bytes(255)))),
    "no suites": record(message(hello(suites=b""))),
    "odd suites": record(message(hello(suites=b"\x00\xa9\x00"))),
    "extension longer than the hello": record(message(hello(extensions=extension(48018, b"x", size=0xFFFF)))),
    "300 empty extensions": record(message(hello(extensions=extension(0x5A5A, b"") * 300))),
    "server hello": record(message(hello(), kind=2)),
    "hello verify request": record(message(b"\xfe\xfd\x20" + bytes(32), kind=3)),
    "finished": record(message(bytes(12), kind=20)),
    "message number 65 535": record(message(hello(), number=0xFFFF)),
    "change cipher spec": record(b"\x01", kind=20),
    "fatal alert": record(b"\x02\x28", kind=21),
    "close notify": record(b"\x01\x00", kind=21),
    "data of epoch 0": record(b"\x00" + bytes(60), kind=23),
    "sealed data of epoch 1": record(bytes(80), kind=23, epoch=1),
    "sealed hello of epoch 1": record(message(hello()), epoch=1),
    "epoch 65 535": record(bytes(80), kind=23, epoch=0xFFFF),
    "DTLS 1.3 record": b"\x2e\x00\x00" + bytes(60),
    "DTLS 1.3 record with a connection id": b"\x3f" + bytes(60),
    "heartbeat": record(b"\x01\xff\xff", kind=24),
    "connection id record": record(bytes(60), kind=25),
}  # fmt: skip


@contextmanager
def udp(arena, address: str = SERVER_IPV4):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with arena.attacker.namespace.socket(family, socket.SOCK_DGRAM) as port:
        port.connect((address, PORT))
        yield port


def answers(port: socket.socket, wait: float = FENCE) -> list[bytes]:
    found = []
    while select.select([port], [], [], wait)[0]:
        found.append(port.recv(65536))
    return found


def name_of(tunnel) -> bytes:
    return bytes.fromhex(tunnel.headers["x-dtls-app-id"][0])


def ask_cookie(port: socket.socket, name: bytes) -> bytes:
    """The cookie that the server gives this port for a hello with a known name."""
    sent = record(message(hello(name=name)))
    port.send(sent)
    assert select.select([port], [], [], 60)[0]
    answer = port.recv(65536)
    assert len(answer) <= len(sent)
    assert answer[13] == HELLO_VERIFY_REQUEST
    return answer[28:]


@pytest.mark.parametrize("datagram", SILENT.values(), ids=SILENT.keys())
def test_a_datagram_that_names_no_tunnel_gets_no_answer(arena, datagram):
    with arena.tunnel(PSK) as tunnel, udp(arena) as port:
        for _ in range(20):
            port.send(datagram)
        ask_cookie(port, name_of(tunnel))  # the first answer is that to the last datagram: all before it were read
        assert answers(port) == []


@pytest.mark.parametrize("address", [SERVER_IPV4, SERVER_IPV6])
def test_the_answer_to_a_known_name_is_no_larger_than_the_hello(arena, address):
    with arena.tunnel(PSK) as tunnel, udp(arena, address) as port:
        sent = record(message(hello(name=name_of(tunnel))))
        for _ in range(100):
            port.send(sent)
        got = answers(port, 1)
        assert got
        assert sum(map(len, got)) <= 100 * len(sent)
        assert {answer[13] for answer in got} == {HELLO_VERIFY_REQUEST}


def test_a_cookie_of_another_port_is_answered_by_a_new_one(arena):
    with arena.tunnel(PSK) as tunnel, udp(arena) as one, udp(arena) as another:
        cookie = ask_cookie(one, name_of(tunnel))
        another.send(record(message(hello(name=name_of(tunnel), cookie=cookie), number=1), sequence=1))
        (answer,) = answers(another, 1)
        assert answer[13] == HELLO_VERIFY_REQUEST
        assert answer[28:] != cookie


@pytest.mark.parametrize("change", ["random", "suites", "name", "first bit", "last bit", "shorter"])
def test_a_cookie_belongs_to_its_hello(arena, change):
    with arena.tunnel(PSK) as tunnel, udp(arena) as port:
        name = name_of(tunnel)
        cookie = ask_cookie(port, name)
        more = {}
        match change:
            case "random":
                more = {"random_bytes": b"\xa5" * 32}
            case "suites":
                more = {"suites": b"\x00\xa8"}
            case "name":
                name = b"\x77" * 32
            case "first bit":
                cookie = bytes([cookie[0] ^ 128]) + cookie[1:]
            case "last bit":
                cookie = cookie[:-1] + bytes([cookie[-1] ^ 1])
            case "shorter":
                cookie = cookie[:-1]
        port.send(record(message(hello(name=name, cookie=cookie, **more), number=1), sequence=1))
        got = answers(port, 0.5)
        assert all(answer[13] == HELLO_VERIFY_REQUEST for answer in got)
        assert not (change == "name" and got)


def test_a_valid_cookie_that_is_replayed_starts_a_bounded_number_of_handshakes(arena):
    """The hello offers a key exchange with a key that the sender does not have."""
    with arena.tunnel(PSK) as tunnel, udp(arena) as port:
        cookie = ask_cookie(port, name_of(tunnel))
        again = record(message(hello(name=name_of(tunnel), cookie=cookie), number=1), sequence=1)
        for _ in range(300):
            port.send(again)
        assert sum(map(len, answers(port, 0.5))) <= 300 * len(again)
        assert tunnel.answers()


def test_hellos_from_many_ports_hold_no_memory(arena):
    """The invariant holds memory and descriptors."""
    with arena.tunnel(PSK) as tunnel:
        for number in range(300):
            with udp(arena) as port:
                port.send(record(message(hello(name=name_of(tunnel), random_bytes=number.to_bytes(32, "big") + b""))))
                port.send(record(message(hello(name=CHANCE.randbytes(32)))))
        assert tunnel.answers()


def test_a_flood_of_datagrams_leaves_tls_open(arena):
    with udp(arena) as port:
        for number in range(20_000):
            port.send(record(message(hello(name=number.to_bytes(32, "big")))))
        assert probe(arena.attacker).name == "HANDSHAKE"


@pytest.mark.parametrize("header", [PSK, "X-DTLS13-CipherSuite: TLS_AES_128_GCM_SHA256"])
def test_data_before_a_handshake_reaches_no_tunnel(arena, header):
    with arena.tunnel(header) as tunnel, udp(arena) as port:
        for epoch in (0, 1, 2, 3, 0xFFFF):
            port.send(record(b"\x00" + bytes(40), kind=23, epoch=epoch))
        assert tunnel.answers()
        assert arena.session_of(tunnel)["counters"]["dtls_rx_packets"] == 0
