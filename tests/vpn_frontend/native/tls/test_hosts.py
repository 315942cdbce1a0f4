# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual hosts and several certificates: SNI chooses the host, the client's signatures the certificate."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from lab.authority import Authority
from tests.vpn_frontend.native.conftest import make_certificate
from vpn_frontend.gateway.certificates.server_certificate import KeyType, parse_certificate
from vpn_frontend.gateway.interface import (
    Cause,
    ClientAuthorities,
    ConnectionClosed,
    ConnectionUp,
    TlsHost,
)

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def other_pair():
    return make_certificate(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def bench(start, other_pair):
    return start(hosts=(TlsHost((parse_certificate(*other_pair),), name="other.test"),))


def shown(client):
    """The PEM of the certificate that the server presented."""
    return ssl.DER_cert_to_PEM_cert(client.tls.getpeercert(binary_form=True)).encode()


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize(
    ("name", "host"), [("other.test", "other.test"), ("OTHER.test", "other.test"), ("vpn.test", ""), (None, "")]
)
def test_sni_chooses_the_host(bench, ecdsa_pair, other_pair, name, host, version):
    client, up = bench.connected(server_name=name, version=version)
    assert (up.host, up.server_name) == (host, (name or "").lower())
    assert shown(client) == (other_pair if host else ecdsa_pair)[0]


def test_a_hello_that_comes_in_pieces_names_its_host(bench, other_pair):
    """A hello with a post-quantum key share takes two TCP segments."""
    raw = socket.create_connection(("127.0.0.1", bench.port))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="other.test")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    hello = outgoing.read()
    for at in range(0, len(hello), 7):
        raw.sendall(hello[at : at + 7])
    while True:
        incoming.write(raw.recv(65536))
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            continue
        break
    tls.write(b"x")
    raw.sendall(outgoing.read())
    assert bench.wait(ConnectionUp).host == "other.test"
    raw.close()


@pytest.mark.parametrize("bytes_sent", [1, 3, 5, 9])
def test_a_hello_that_stops_holds_no_tls_object_and_ends_with_its_client(bench, bytes_sent):
    raw = socket.create_connection(("127.0.0.1", bench.port))
    raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"[:bytes_sent])
    raw.shutdown(socket.SHUT_WR)
    assert bench.wait(ConnectionClosed).cause is Cause.PEER_CLOSED
    raw.close()


def test_what_is_no_hello_is_answered_with_an_alert(bench):
    raw = socket.create_connection(("127.0.0.1", bench.port))
    raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert raw.recv(64)[:1] in (b"\x15", b"")
    assert bench.wait(ConnectionClosed).cause is Cause.HANDSHAKE_FAILED
    raw.close()


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_the_client_gets_the_certificate_that_it_can_verify(start, rsa_pair, ecdsa_pair, kind, version, openssl):
    """``openssl s_client`` names the signatures that it verifies."""
    bench = start(pair=ecdsa_pair, more=(rsa_pair,))
    signatures = {"rsa": "rsa_pss_rsae_sha256:RSA+SHA256", "ecdsa": "ECDSA+SHA256"}[kind]
    flag = "-tls1_2" if version is V12 else "-tls1_3"
    answer = openssl(bench.port, flag, "-sigalgs", signatures)
    assert (rsa_pair if kind == "rsa" else ecdsa_pair)[0].decode().strip() in answer


def test_the_first_certificate_is_preferred_and_answers_who_can_verify_none(start, rsa_pair, ecdsa_pair, openssl):
    bench = start(pair=ecdsa_pair, more=(rsa_pair,))
    assert shown(bench.connected()[0]) == ecdsa_pair[0]
    assert "alert handshake failure" in openssl(bench.port, "-tls1_3", "-sigalgs", "ed25519")


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=["p384", "p521"])
@pytest.mark.parametrize("version", [V12, V13])
def test_keys_on_larger_curves_serve(start, curve, version):
    pair = make_certificate(ec.generate_private_key(curve))
    client, _ = start(pair=pair).connected(version=version)
    assert shown(client) == pair[0]


def test_the_type_of_a_key_is_read(ecdsa_pair, rsa_pair):
    assert parse_certificate(*ecdsa_pair).key_type is KeyType.P256
    assert parse_certificate(*rsa_pair).key_type is KeyType.RSA


def resume(bench, client, **options):
    return bench.connected(session=client.tls.session, context=client.context, **options)[1].resumed


@pytest.mark.parametrize("version", [V12, V13])
def test_a_session_is_resumed_at_its_own_host_only(bench, version):
    client, up = bench.connected(version=version, server_name="other.test")
    bench.gateway.send(up.connection_id, b"ticket")
    assert client.read(6) == b"ticket"
    assert not up.resumed
    assert resume(bench, client, server_name="other.test")
    assert not resume(bench, client, server_name="vpn.test")


@pytest.mark.parametrize("version", [V12, V13])
def test_no_session_is_resumed_once_certificates_are_asked_for(start, other_pair, version):
    bench = start(hosts=(TlsHost((parse_certificate(*other_pair),), name="other.test"),))
    client, up = bench.connected(version=version)
    bench.gateway.send(up.connection_id, b"ticket")
    assert client.read(6) == b"ticket"
    own = parse_certificate(*other_pair)
    asked = TlsHost((own,), ClientAuthorities(other_pair[0]))
    bench.gateway.set_hosts((asked, TlsHost((own,), name="other.test")))
    assert not resume(bench, client)


def test_a_removed_host_is_no_host_of_those_who_shook_hands_with_it(bench, other_pair):
    silent = bench.client(server_name="other.test")
    bench.gateway.set_hosts((TlsHost((parse_certificate(*other_pair),)),))
    silent.send(b"x")
    assert bench.wait(ConnectionUp).host not in ("", "other.test")
    _, up = bench.connected(server_name="other.test")
    assert up.host == ""


def test_a_host_that_comes_back_gets_its_place_again(bench, other_pair):
    own = TlsHost((parse_certificate(*other_pair),))
    other = TlsHost((parse_certificate(*other_pair),), name="other.test")
    silent = bench.client(server_name="other.test")
    for hosts in ((own,), (own, other), (own,), (own, other)):
        bench.gateway.set_hosts(hosts)
    silent.send(b"x")
    assert bench.wait(ConnectionUp).host == "other.test"


@pytest.mark.parametrize("flag", ["-tls1_2", "-tls1_3"])
def test_a_response_is_stapled_for_clients_that_ask(start, flag, openssl, tmp_path):
    authority = Authority(tmp_path / "ca")
    issued = authority.issue("vpn", purpose=ExtendedKeyUsageOID.SERVER_AUTH)
    own = parse_certificate(issued.certificate.read_bytes(), issued.key.read_bytes())
    bench = start(pair=(own.chain, own.key))
    assert "OCSP response: no response sent" in openssl(bench.port, flag, "-status")
    response = authority.respond(tmp_path, issued.certificate).read_bytes()
    bench.gateway.set_hosts((TlsHost((replace(own, ocsp=response),)),))
    answer = openssl(bench.port, flag, "-status")
    assert "OCSP Response Status: successful (0x0)" in answer
    assert "Cert Status: good" in answer
    assert "OCSP" not in openssl(bench.port, flag), "a client that does not ask gets none"
    bench.connected()
