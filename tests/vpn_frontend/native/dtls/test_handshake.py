# SPDX-License-Identifier: GPL-3.0-or-later
"""DTLS handshakes, and answers to unknown senders: none, or a cookie no larger than the ClientHello."""

from __future__ import annotations

import secrets
import socket
import struct
import time

import pytest

from lab.timeouts import TIMEOUT
from tests.vpn_frontend.native.dtls_lab import (
    CERTIFICATE,
    DATA,
    DPD_REQUEST,
    DPD_RESPONSE,
    EVERY_WAY,
    PSK,
    PSK13,
    QUIET,
    RESUMPTION,
)
from vpn_frontend.gateway.interface import (
    DtlsPsk,
    DtlsResumption,
    DtlsUp,
    GatewayError,
)


@pytest.mark.parametrize("way", EVERY_WAY)
def test_a_hello_that_names_no_session_gets_no_answer(lab, gate, way):
    client = lab.client(way, secrets.token_bytes(32), secrets.token_bytes(48))
    assert not client.connect(seconds=0.8)
    lab.bench.wait_stat("dtls_hello_unknown")
    assert gate.asked(gate.DTLS_HANDSHAKE) >= 1
    assert lab.stat("dtls_cookies_sent") == 0


def test_the_policy_is_asked_whether_or_not_a_session_is_named(lab, gate):
    assert not lab.client(PSK, secrets.token_bytes(32), secrets.token_bytes(48)).connect(seconds=0.3)
    lab.bench.wait_stat("dtls_hello_unknown")
    assert gate.last_request().verified == gate.UNVERIFIED
    _, _, client = lab.tunnel()
    gate.answer(gate.DTLS_HANDSHAKE, gate.REJECT)
    assert not client.connect(seconds=0.8)
    lab.bench.wait_stat("dtls_hello_refused")
    request = gate.last_request()
    assert (request.protocol, request.verified, request.port) == (17, gate.NAMED, client.socket.getsockname()[1])
    assert request.local_port == lab.udp_port
    assert lab.stat("dtls_cookies_sent") == 0
    gate.answer(gate.DTLS_HANDSHAKE, gate.ACCEPT)
    assert client.connect()


@pytest.mark.parametrize("way", EVERY_WAY)
def test_the_answer_before_the_cookie_is_never_larger_than_the_hello(lab, way):
    _, _, client = lab.tunnel(way)
    client.step()
    (hello,) = client.outgoing()
    client.socket.send(hello)
    reply = client.receive()
    assert 0 < len(reply) <= len(hello)
    assert client.receive(QUIET) == b""


def short_hello(name, padding=0):
    """The shortest ClientHello of DTLS 1.3 that wolfSSL accepts: one suite, one key share; and padding."""
    extensions = [
        (43, b"\x02\xfe\xfc"),  # supported_versions
        (10, b"\0\x02\0\x1d"),  # supported_groups: X25519
        (13, b"\0\x02\x04\x03"),  # signature_algorithms
        (51, b"\0\0"),  # key_share: none yet
    ]
    if padding:
        extensions.append((21, bytes(padding)))
    listed = b"".join(struct.pack("!HH", kind, len(body)) + body for kind, body in extensions)
    body = b"\xfe\xfd" + secrets.token_bytes(32) + b"\x20" + name + b"\0" + b"\0\x02\x13\x01" + b"\x01\0"
    body += struct.pack("!H", len(listed)) + listed
    size = len(body).to_bytes(3, "big")
    message = b"\x01" + size + bytes(2) + bytes(3) + size + body
    return b"\x16\xfe\xfd" + bytes(8) + struct.pack("!H", len(message)) + message


def test_a_short_hello_is_no_amplifier(lab):
    _, _, client = lab.tunnel(CERTIFICATE)
    short = short_hello(client.name)
    client.socket.send(long := short_hello(client.name, padding=200))
    retry = client.receive()
    assert len(short) < len(retry) <= len(long), "wolfSSL answers either with as many bytes"
    client.socket.send(short)
    assert client.receive(QUIET) == b""
    assert lab.stat("dtls_cookies_sent") == 1


@pytest.mark.parametrize("way", EVERY_WAY)
def test_hellos_cut_and_flipped_get_no_alert_and_the_next_real_one_is_answered(lab, way):
    _, _, client = lab.tunnel(way)
    client.step()
    (hello,) = client.outgoing()
    for cut in range(len(hello)):
        client.socket.send(hello[:cut])
    for at in range(0, len(hello), 3):
        client.socket.send(hello[:at] + bytes([hello[at] ^ 0xFF]) + hello[at + 1 :])
    lab.bench.wait_stat("dtls_hello_malformed", len(hello) - 14)
    while reply := client.receive(QUIET):
        assert reply[0] == 22  # a HelloVerifyRequest or HelloRetryRequest, never an alert
        assert len(reply) <= len(hello)
    client.socket.send(hello)
    assert client.receive()[0] == 22


def test_a_cookie_is_good_for_its_own_address_only(lab):
    _, _, client = lab.tunnel()
    client.step()
    (hello,) = client.outgoing()
    client.socket.send(hello)
    client.step(client.receive())
    (second,) = client.outgoing()
    client.move()
    client.socket.send(second)
    reply = client.receive()
    assert (reply[0], reply[13], len(reply)) == (22, 3, 60)  # asked again
    assert lab.stat("dtls_cookies_sent") == 2


def test_a_retry_cookie_is_good_for_its_own_address_only(lab):
    _, _, client = lab.tunnel(PSK13)
    client.step()
    (hello,) = client.outgoing()
    client.socket.send(hello)
    client.step(client.receive())
    (second,) = client.outgoing()
    client.move()
    client.socket.send(second)
    assert client.receive(QUIET) == b""
    assert (lab.stat("dtls_cookies_sent"), lab.stat("dtls_handshakes_done")) == (1, 0)


def test_a_wrong_key_does_not_get_in(lab):
    _, session, client = lab.tunnel()
    thief = lab.client(PSK, client.name, bytes(48))
    assert not thief.connect(seconds=1.5)
    assert lab.stat("dtls_handshakes_done") == 0
    time.sleep(3.1)  # the pause between two handshakes of a session is the contract
    assert client.connect()
    assert lab.bench.wait(DtlsUp).session == session


def test_a_host_that_knows_the_name_does_not_keep_its_client_out(lab):
    _, session, client = lab.tunnel()
    thief = lab.client(PSK, client.name, bytes(48))
    thief.move("127.0.0.2")
    assert not thief.connect(seconds=0.8)
    refused = lab.stat("dtls_hello_duplicate")
    assert client.connect(pause=TIMEOUT)  # its first hellos, not later ones after the pause between handshakes
    assert lab.bench.wait(DtlsUp).session == session
    assert lab.stat("dtls_hello_duplicate") == refused
    assert not lab.client(PSK, client.name, bytes(48)).connect(seconds=0.8)
    client.send(DPD_REQUEST)
    assert client.read() == DPD_RESPONSE


@pytest.mark.parametrize("way", EVERY_WAY)
@pytest.mark.parametrize("fault", ["lost", "doubled", "reordered"])
def test_lost_doubled_and_reordered_flights_are_survived(lab, way, fault):
    _, _, client = lab.tunnel(way)
    deadline, status, sent = time.monotonic() + TIMEOUT, client.step(), 0
    while status == 0:
        assert time.monotonic() < deadline
        flight = client.outgoing()
        for datagram in reversed(flight) if fault == "reordered" else flight:
            sent += 1
            if fault != "lost" or sent % 2 == 0:
                client.socket.send(datagram)
            if fault == "doubled":
                client.socket.send(datagram)
        received = client.receive(QUIET)
        if not received:
            client._lib.dc_timeout(client._dc)
        status = client.step(received)
    assert status == 1
    for datagram in client.outgoing():
        client.socket.send(datagram)
    assert way != CERTIFICATE or client.prove()
    lab.bench.wait(DtlsUp)


def test_hellos_of_other_hosts_disturb_no_live_connection(lab, wire):
    _, _, client = lab.tunnel()
    client.step()
    (hello,) = client.outgoing()
    client.socket.send(hello)
    client.step(client.receive())
    assert client.connect()
    up, down = wire.ipv4(wire.own4, wire.outside4), wire.ipv4(wire.outside4, wire.own4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", 0))
        other.connect(("127.0.0.1", lab.udp_port))
        for size in range(len(hello) + 1):
            other.send(hello[:size])
        for at in range(len(hello)):
            other.send(hello[:at] + bytes([hello[at] ^ 0xFF]) + hello[at + 1 :])
            client.send(DATA + up)
            assert lab.bench.tun[0].recv(65536) == up
    lab.bench.tun[0].send(down)
    assert client.read() == DATA + down


def test_dtls_made_anew_replaces_the_old_once_it_works(lab, wire):
    begun = time.monotonic()
    _, _, live = lab.up()
    second = lab.client(PSK, live.name, live.secret)
    if second.connect(seconds=1.0):
        assert time.monotonic() - begun >= 3.0  # a busy machine: it was not too soon after the first
        live = second
    else:
        lab.bench.wait_stat("dtls_hello_duplicate")
    down = wire.ipv4(wire.outside4, wire.own4)
    lab.bench.tun[0].send(down)
    assert live.read() == DATA + down
    time.sleep(3.1)
    third = lab.client(PSK, live.name, live.secret)
    assert third.connect()
    lab.bench.wait_stat("dtls_handshakes_done", 2 if live is not second else 3)
    lab.bench.tun[0].send(down)
    assert third.read() == DATA + down


def test_what_cannot_be_a_dtls_client_is_refused(lab):
    _, session, _ = lab.tunnel()
    with pytest.raises(GatewayError, match="not among the suites"):
        lab.gateway.set_dtls(session, DtlsResumption(bytes(32), bytes(48), "AES128-SHA"))
    with pytest.raises(GatewayError, match="31 and 32 bytes"):
        lab.gateway.set_dtls(session, DtlsPsk(bytes(31), bytes(32)))


@pytest.mark.parametrize("way", EVERY_WAY)
def test_a_replayed_hello_disturbs_nothing(lab, wire, way):
    _, _, client = lab.tunnel(way)
    client.step()
    (first,) = client.outgoing()
    client.socket.send(first)
    client.step(client.receive())
    (second,) = client.outgoing()
    client.socket.send(second)
    assert client.shake_hands_and_prove()
    up, down = wire.ipv4(wire.own4, wire.outside4), wire.ipv4(wire.outside4, wire.own4)
    for pause in (0, 3.1):  # too soon for another handshake, and with one that the replay begins
        time.sleep(pause)
        for hello in (first, second):
            client.socket.send(hello)
        client.send(DATA + up)
        assert lab.bench.tun[0].recv(65536) == up
    lab.bench.wait(DtlsUp)
    while client.receive(QUIET):
        pass  # what the replay was answered with: a cookie, a flight that its sender cannot use
    lab.bench.tun[0].send(down)
    assert client.read() == DATA + down
    assert lab.stat("dtls_handshakes_done") == 1


def plain_hello(name, cookie=b"", *, extensions):
    """A DTLS 1.2 ClientHello that resumes the session ``name`` with ECDHE-RSA-AES256-GCM-SHA384."""
    body = b"\xfe\xfd" + b"\x5a" * 32 + bytes([len(name)]) + name + bytes([len(cookie)]) + cookie
    body += b"\x00\x02\xc0\x30" + b"\x01\x00" + extensions
    message = (
        b"\x01"
        + len(body).to_bytes(3, "big")
        + bytes([0, bool(cookie)])
        + bytes(3)
        + len(body).to_bytes(3, "big")
        + body
    )
    return b"\x16\xfe\xfd" + bytes(7) + bytes([bool(cookie)]) + len(message).to_bytes(2, "big") + message


@pytest.mark.parametrize("extensions", [b"", b"\x00\x00"], ids=["none", "empty"])
def test_a_hello_without_extensions_is_answered(lab, extensions):
    """wolfSSL 5.9.2 answers an empty block with decode_error, unless it is built with our edit."""
    _, _, client = lab.tunnel(RESUMPTION)
    client.socket.send(plain_hello(client.name, extensions=extensions))
    request = client.receive()
    assert (request[0], request[13]) == (22, 3), "HelloVerifyRequest"
    cookie = request[28 : 28 + request[27]]
    client.socket.send(plain_hello(client.name, cookie, extensions=extensions))
    answer = client.receive()
    assert (answer[0], answer[13]) == (22, 2), "ServerHello"
