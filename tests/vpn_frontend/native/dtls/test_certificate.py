# SPDX-License-Identifier: GPL-3.0-or-later
"""DTLS 1.3 with the server's certificate: any client may finish the handshake, only the session's is let in."""

from __future__ import annotations

import secrets
import time

import pytest

from lab.timeouts import TIMEOUT
from tests.vpn_frontend.native.dtls_lab import (
    CERTIFICATE,
    DATA,
    DPD_REQUEST,
    DPD_RESPONSE,
    PROOF,
    PSK,
    PSK13,
    QUIET,
)
from vpn_frontend.gateway.certificates.server_certificate import parse_certificate
from vpn_frontend.gateway.interface import DtlsUp, TlsHost

HELLO_PAUSE = 3  # seconds between two handshakes of one session


def packets(wire):
    return wire.ipv4(wire.own4, wire.outside4), wire.ipv4(wire.outside4, wire.own4)


def thief_of(lab, client):
    """A client that knows the name of the session and nothing else."""
    return lab.client(CERTIFICATE, client.name, secrets.token_bytes(32))


def connected_later(make):
    """A client of ``make`` whose handshake the gateway takes: not before the last one is some seconds old."""
    deadline = time.monotonic() + HELLO_PAUSE + TIMEOUT
    while time.monotonic() < deadline:
        if (client := make()).connect(seconds=1.0):
            return client
    raise AssertionError("no handshake was taken")


def test_the_proof_opens_the_way_and_is_answered_with_the_server_s(lab, wire):
    _, session, client = lab.tunnel(CERTIFICATE)
    assert client.connect()
    assert client.prove()
    event = lab.bench.wait(DtlsUp)
    assert (event.session, event.version, event.cipher) == (session, "DTLSv1.3", "TLS13-AES256-GCM-SHA384")
    assert client.prove(), "the answer may be lost: the proof is answered each time it comes"
    up, _ = packets(wire)
    client.send(DATA + up)
    assert lab.bench.tun[0].recv(65536) == up
    assert lab.stat("dtls_handshakes_done") == 1


def test_a_certificate_of_either_kind_and_a_replaced_one_serve(start_lab, rsa_pair, ecdsa_pair):
    lab = start_lab(pair=rsa_pair)
    _, session, _ = lab.up(CERTIFICATE)
    lab.gateway.close_session(session, b"")
    lab.gateway.set_hosts((TlsHost((parse_certificate(*ecdsa_pair),)),))
    lab.up(CERTIFICATE)


def test_nothing_is_delivered_before_the_proof(lab, wire):
    _, _, client = lab.tunnel(CERTIFICATE)
    up, down = packets(wire)
    assert client.connect()
    client.send(DATA + up)
    client.send(DPD_REQUEST)
    lab.bench.wait_stat("dtls_unproven", 2)
    assert client.read(QUIET) == b""
    assert client.prove()
    lab.bench.wait(DtlsUp)
    lab.bench.tun[0].send(down)
    assert client.read() == DATA + down
    client.send(DPD_REQUEST)
    assert client.read() == DPD_RESPONSE
    lab.bench.tun[0].settimeout(QUIET)
    with pytest.raises(TimeoutError):
        lab.bench.tun[0].recv(65536)


def test_who_proves_nothing_is_forgotten_and_the_client_gets_in(lab):
    _, session, client = lab.tunnel(CERTIFICATE)
    assert thief_of(lab, client).connect()
    lab.bench.wait_stat("dtls_proofs_missing")
    assert lab.stat("dtls_handshakes_done") == 0
    assert client.shake_hands_and_prove()
    assert lab.bench.wait(DtlsUp).session == session


@pytest.mark.parametrize("kind", ["random", "short", "empty", "another session's", "another connection's"])
def test_a_wrong_proof_ends_the_connection(lab, wire, kind):
    _, _, client = lab.tunnel(CERTIFICATE)
    proof = PROOF + {"short": bytes(31), "empty": b""}.get(kind, secrets.token_bytes(32))
    if kind == "another session's":
        other, up = lab.bench.connected()
        proof = None
        assert client.connect()
        client.send(client.proof(key=up.proof_key))
        other.close()
    elif kind == "another connection's":
        assert client.connect()
        proof = client.proof()
        name, secret = client.name, client.secret
        client = connected_later(lambda: lab.client(CERTIFICATE, name, secret))
        client.send(proof)
        proof = None
    if proof is not None:
        assert client.connect()
        client.send(proof)
    lab.bench.wait_stat("dtls_proofs_wrong")
    client.send(client.proof())  # too late
    client.send(DATA + packets(wire)[0])
    lab.bench.wait_stat("dtls_unmatched", 2)
    assert lab.stat("dtls_handshakes_done") == 0


def test_the_connection_in_use_stays_until_another_is_proven(lab, wire):
    _, session, first = lab.up(CERTIFICATE)
    up, down = packets(wire)
    thief = connected_later(lambda: thief_of(lab, first))
    thief.send(DATA + up)
    lab.bench.wait_stat("dtls_unproven")
    lab.bench.tun[0].send(down)
    assert first.read() == DATA + down
    thief.send(thief.proof())
    lab.bench.wait_stat("dtls_proofs_wrong")
    first.send(DATA + up)
    assert lab.bench.tun[0].recv(65536) == up
    second = connected_later(lambda: lab.client(CERTIFICATE, first.name, first.secret))
    lab.bench.tun[0].send(down)
    assert first.read() == DATA + down
    assert second.prove()
    assert lab.bench.wait(DtlsUp).session == session
    lab.bench.tun[0].send(down)
    assert second.read() == DATA + down


def test_a_handshake_that_waits_for_its_proof_hears_nothing_in_the_clear(lab):
    _, _, client = lab.tunnel(CERTIFICATE)
    client.step()
    client.socket.send(client.outgoing()[0])
    client.step(client.receive())
    (hello,) = client.outgoing()
    client.socket.send(hello)
    assert client.connect()
    client.socket.send(hello)
    client.socket.send(b"\x15\xfe\xfd" + bytes(8) + b"\0\x02\x02\x28")
    lab.bench.wait_stat("dtls_clear")
    assert client.prove()


@pytest.mark.parametrize(("expected", "used"), [(CERTIFICATE, PSK), (CERTIFICATE, PSK13), (PSK, CERTIFICATE)])
def test_one_way_does_not_open_the_door_of_another(lab, expected, used):
    _, _, client = lab.tunnel(expected)
    other = lab.client(used, client.name, client.secret)
    other.connect(seconds=1.0)  # a client with a key may end up with the certificate: it has proven nothing
    assert lab.stat("dtls_handshakes_done") == 0


def test_a_proof_means_nothing_where_none_is_wanted(lab):
    _, _, client = lab.up(PSK)
    client.send(PROOF + bytes(32))
    lab.bench.wait_stat("frames_unknown")
    client.send(DPD_REQUEST)
    assert client.read() == DPD_RESPONSE
