# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS handshakes whose signatures come from another process."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace

import pytest

from lab.timeouts import TIMEOUT
from tests.vpn_frontend.native.dtls_lab import CERTIFICATE
from tests.vpn_frontend.native.signing.conftest import ANSWER, HEAD, KEY
from vpn_frontend.gateway.certificates.server_certificate import parse_certificate
from vpn_frontend.gateway.interface import Cause, ChannelUp, ConnectionClosed, ConnectionUp, SignerDown

VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "rsa", "ed25519"])
def test_each_kind_of_key_signs_each_version(isolated, pairs, kind, version):
    bench = isolated(pairs[kind])
    client, up = bench.connected(version=VERSIONS[version])
    assert (up.tls_version, up.resumed) == (version, False)
    bench.gateway.send(up.connection_id, b"hello")
    assert client.read(5) == b"hello"


@pytest.mark.parametrize(
    ("offered", "answer"),
    [
        (("-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384"), "Server Temp Key: DH, 2048 bits"),
        (("-tls1_3", "-groups", "ffdhe3072"), "Server Temp Key: DH, 3072 bits"),
        (("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256", "-groups", "X25519"), "Server Temp Key: X25519"),
        (("-tls1_3", "-sigalgs", "rsa_pss_rsae_sha512"), "Peer signing digest: SHA512"),
        (("-tls1_2", "-sigalgs", "RSA+SHA384"), "Peer signing digest: SHA384"),
        (("-tls1_3", "-groups", "P-384:X25519"), "TLSv1.3"),
    ],
    ids=["dhe", "ffdhe", "x25519", "pss", "pkcs1", "p384"],
)
def test_key_exchanges_and_digests(isolated, pairs, openssl, offered, answer):
    assert answer in openssl(isolated(pairs["rsa"]).port, *offered)


def test_each_certificate_of_a_host_has_its_key(isolated, pairs, openssl):
    bench = isolated(pairs["p256"], pairs["rsa"])
    assert "Peer signature type: ECDSA" in openssl(bench.port, "-tls1_3")
    assert "Peer signature type: RSA-PSS" in openssl(bench.port, "-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256")


class Handshake:
    """A TLS 1.3 client whose hello is sent, with ``behind`` in the same segment."""

    def __init__(self, bench, behind=b""):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.options &= (
            ~ssl.OP_ENABLE_MIDDLEBOX_COMPAT
        )  # a ChangeCipherSpec may be sent once (RFC 8446, appendix D.4)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)
        self.raw = socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT)
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self.raw.sendall(self._outgoing.read() + behind)

    def finish(self):
        """Shakes hands and says a byte, so that the gateway tells of the connection."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._incoming.write(self.raw.recv(65536))
            else:
                self._tls.write(b"x")
                self.raw.sendall(self._outgoing.read())
                return

    def is_closed(self):
        """True once the server has closed it, whatever it sent before."""
        try:
            while self.raw.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True


def answer(request, status=0, signature=b""):
    return ANSWER.pack(HEAD.unpack(request[: HEAD.size])[0], status, len(signature)) + signature


@pytest.fixture
def silent(isolated, pairs):
    """A gateway with a tunnel, and the signer's end of its socket: the test answers."""
    bench = isolated(pairs["p256"], serve=False)
    link = bench.signers.ends[0]
    first = Handshake(bench)
    link.send(bench.signers.sign(link.recv(4096)))
    first.finish()
    up = bench.wait(ConnectionUp)
    session = bench.gateway.open_session(up.connection_id, bench.parameters())
    bench.gateway.attach(session, up.connection_id, b"HELLO", b"")
    bench.wait(ChannelUp)
    yield bench, link
    first.raw.close()


def passes_packets(bench, wire):
    """True if a packet for the client of the tunnel is carried."""
    packet = wire.ipv4(wire.outside4, wire.own4)
    before = bench.gateway.stats()["tx_no_session"]
    bench.tun[0].send(packet)
    bench.settle()
    return bench.gateway.stats()["tx_no_session"] == before


def test_a_signer_that_hangs_delays_handshakes_and_no_tunnel(silent, wire):
    bench, link = silent
    assert bench.gateway.signing_delay() == 0
    waiting = [Handshake(bench) for _ in range(20)]
    requests = [link.recv(4096) for _ in waiting]
    assert passes_packets(bench, wire)
    assert bench.gateway.signing_delay() > 0
    for request in requests:
        link.send(bench.signers.sign(request))
    for one in waiting:
        one.finish()
        bench.wait(ConnectionUp)
        one.raw.close()
    assert bench.gateway.signing_delay() == 0


def test_bytes_behind_the_hello_wait_for_the_signature(silent):
    bench, link = silent
    one = Handshake(bench, behind=b"\x14\x03\x03\x00\x01\x01")
    request = link.recv(4096)
    link.send(bench.signers.sign(request))
    one.finish()
    bench.wait(ConnectionUp)
    one.raw.close()


def test_a_client_that_leaves_is_forgotten_and_its_answer_ignored(silent):
    bench, link = silent
    gone, staying = Handshake(bench), Handshake(bench)
    requests = [link.recv(4096) for _ in range(2)]
    gone.raw.close()
    bench.wait(ConnectionClosed)
    for request in requests:
        link.send(bench.signers.sign(request))
    staying.finish()
    bench.wait(ConnectionUp)
    staying.raw.close()


@pytest.mark.parametrize("status", [-1, -2, -5], ids=["refused", "unknown", "failed"])
def test_without_a_signature_the_peer_is_not_to_blame(silent, gate, status):
    bench, link = silent
    one = Handshake(bench)
    link.send(answer(link.recv(4096), status))
    assert one.is_closed()
    assert bench.wait(ConnectionClosed).cause is Cause.LOCAL
    assert bench.wait_stat("handshakes_unsigned") == 1
    assert gate.asked(gate.TLS_HANDSHAKE_FAILED) == 0
    one.raw.close()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda request: answer(request)[:-1],
        lambda request: answer(request, signature=b"x" * 72) + b"y",
        lambda request: answer(bytes(8) + request[8:], signature=b"x" * 72),
        lambda request: ANSWER.pack(HEAD.unpack(request[: HEAD.size])[0], 0, 2000) + bytes(1024),
    ],
    ids=["closed", "short", "long", "of another question", "larger than a signature"],
)
def test_a_lost_or_broken_signer_ends_handshakes_and_no_tunnel(silent, wire, gate, spoil):
    bench, link = silent
    one = Handshake(bench)
    if packet := spoil(link.recv(4096)):
        link.send(packet)
    else:
        link.close()
    bench.wait(SignerDown)
    assert one.is_closed()
    later = Handshake(bench)
    assert later.is_closed()
    assert bench.wait_stat("handshakes_unsigned", 2) == 2
    assert gate.asked(gate.TLS_HANDSHAKE_FAILED) == 0
    assert passes_packets(bench, wire)
    one.raw.close()
    later.raw.close()


def test_a_wrong_signature_is_the_client_s_to_refuse(silent):
    bench, link = silent
    one, other = Handshake(bench), Handshake(bench)
    requests = [link.recv(4096) for _ in range(2)]
    right = bench.signers.sign(requests[1])
    link.send(answer(requests[0], signature=right[ANSWER.size :]))
    with pytest.raises(ssl.SSLError):
        one.finish()
    link.send(right)
    other.finish()
    one.raw.close()
    other.raw.close()


def test_keys_of_before_serve_until_they_are_forgotten(isolated, pairs):
    bench = isolated(pairs["p256"])
    bench.connected()
    bench.signers.forget(KEY + 1)
    refused = Handshake(bench)
    assert refused.is_closed()
    assert bench.wait_stat("handshakes_unsigned") == 1
    refused.raw.close()


def test_dtls_with_the_certificate(isolated, start_lab, pairs):
    made = []

    def starter(**options):
        made.append(start_lab(**options))
        return made[0].bench

    isolated(pairs["p256"], starter=starter)
    made[0].up(CERTIFICATE)


def test_a_worker_without_a_signer_refuses(start, pairs):
    certificate = replace(parse_certificate(*pairs["p256"]), key=b"", signer_key=KEY)
    bench = start(pair=certificate)
    refused = Handshake(bench)
    assert refused.is_closed()
    refused.raw.close()
