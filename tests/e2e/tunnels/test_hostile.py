# SPDX-License-Identifier: GPL-3.0-or-later
"""A hostile source on one link: the tunnel on the other loses no packet, and the server accepts new clients.

host 1 (a tunnel that pings throughout) ─ v1 ┐
host 2 (hostile) ──────────────────────── v2 ┼ gateway 10.77.0.1, `ocsentry serve`
host 3 (connects afterwards) ──────────── v3 ┘
"""

from __future__ import annotations

import random
import signal
import socket
import struct
import time
from contextlib import suppress

import pytest

from lab.network import SERVER_IPV4
from lab.processes.resource_usage import proportional_set_size
from lab.server import INNER_IPV4
from lab.timeouts import TIMEOUT
from lab.traffic.continuous_ping import ContinuousPing
from lab.traffic.probes import ProbeResult, drain, open_tls, probe

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@pytest.fixture
def tunnel(lab):
    """A tunnel that pings from before the attack until after it; no echo request may stay unanswered."""
    server = lab.serve()
    client = server.connect(lab.host())
    client.await_up()
    pings = ContinuousPing(client, INNER_IPV4)
    pings.await_replies(5)
    yield server
    pings.await_replies(pings.replies + 5)
    assert pings.missing() == []
    assert server.program.running
    late = lab.host()
    assert probe(late) is ProbeResult.HANDSHAKE
    server.connect(late, user="bob").await_up()


def test_port_scan(lab, tunnel):
    attacker = lab.host()
    for port in [*range(1, 1025), 8443, *[443] * 500]:
        with attacker.namespace.socket() as probe:
            probe.settimeout(TIMEOUT)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            assert (probe.connect_ex((SERVER_IPV4, port)) == 0) is (port == 443)


def test_half_open_connections(lab, tunnel):
    attacker = lab.host()
    held = [attacker.namespace.connect((SERVER_IPV4, 443)) for _ in range(300)]
    for stream in held[::2]:
        stream.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # the beginning of a ClientHello, no more
    assert probe(attacker) is ProbeResult.HANDSHAKE
    for stream in held:
        stream.close()


def test_garbage_instead_of_tls(lab, tunnel):
    attacker, chance = lab.host(), random.Random(1)
    for size in [1, 5, 6, 100, 1400, 20_000] * 5:
        with attacker.namespace.connect((SERVER_IPV4, 443)) as stream:
            try:
                stream.sendall(chance.randbytes(size))
                stream.shutdown(socket.SHUT_WR)
            except OSError:
                continue  # the server may close before all was sent
            drain(stream)
    with attacker.namespace.connect((SERVER_IPV4, 443)) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: vpn.example.org\r\n\r\n")
        assert not drain(stream).startswith(b"HTTP")


def test_garbage_instead_of_http(lab, tunnel):
    attacker, chance = lab.host(), random.Random(2)
    pieces = [
        chance.randbytes(3000),
        b"\r\n" * 100,
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: x\r\nCookie: webvpn=\r\n\r\n",
        b"CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: x\r\nCookie: webvpn=" + b"A" * 9000 + b"\r\n\r\n",
        b"STF\x01\x00\x10\x00\x00" + bytes(16),
    ]
    for piece in pieces:
        with open_tls(attacker) as stream:
            stream.sendall(piece)
            with suppress(OSError):  # already closed
                socket.socket.shutdown(stream, socket.SHUT_WR)  # an unfinished request stays unfinished
            assert b" 200 " not in drain(stream).split(b"\r\n")[0]


def test_a_header_of_a_megabyte(lab, tunnel):
    attacker = lab.host()
    with open_tls(attacker) as stream:
        try:
            stream.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Pad: " + b"a" * (1 << 20))
            answer = drain(stream)
        except OSError:
            return  # the server may close before all was sent
    assert answer == b"" or answer.split()[1] in {b"400", b"413", b"431"}


def test_a_body_without_end(lab, tunnel):
    attacker = lab.host()
    with open_tls(attacker) as stream:
        try:
            stream.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n" + b"<" * (4 << 20))
            answer = drain(stream)
        except OSError:
            return
    assert answer == b"" or answer.split()[1] in {b"400", b"413"}


def test_a_client_that_stops_reading(lab, tunnel):
    attacker = lab.host()
    client = tunnel.connect(attacker, user="carol")
    inside = client.await_up()
    before = proportional_set_size([tunnel.program.process.pid])
    client.signal(signal.SIGSTOP)
    try:
        with lab.network.gateway.socket(kind=socket.SOCK_DGRAM) as flood:
            for _ in range(400):  # at 20 MB/s, several times the size of all queues to one client
                for _ in range(100):
                    flood.sendto(bytes(1200), (inside.ipv4, 9))
                time.sleep(0.005)
        assert proportional_set_size([tunnel.program.process.pid]) - before < 64 << 20
    finally:
        client.signal(signal.SIGCONT)
        client.kill()
