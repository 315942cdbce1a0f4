# SPDX-License-Identifier: GPL-3.0-or-later
"""Client certificates: what the event of a new connection carries of them, and which of them are refused."""

from __future__ import annotations

import datetime as dt
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab.authority import DAY
from lab.authority import Authority as LabAuthority
from vpn_frontend.gateway.certificates.server_certificate import parse_certificate
from vpn_frontend.gateway.interface import (
    Cause,
    ClientAuthorities,
    ConnectionClosed,
    ConnectionUp,
    GatewayError,
    RevocationCheck,
    TlsHost,
)

BOTH_VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
LARGE_OID = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")


class Authority:
    """A CA with a folder for its clients' files."""

    def __init__(self, folder, name):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        ca = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = self._sign(self._name, self._key.public_key(), [(ca, True)])
        self.pem = self.certificate.public_bytes(PEM)

    def _sign(self, subject, key, extensions):
        start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + dt.timedelta(days=36500))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())

    def client(self, user, *, padding=0, purpose=x509.ExtendedKeyUsageOID.CLIENT_AUTH):
        """(DER of a client's certificate, SSL context that presents it)."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, user)])
        extensions = [(x509.ExtendedKeyUsage([purpose]), False)]
        if padding:
            extensions.append((x509.UnrecognizedExtension(LARGE_OID, bytes(padding)), False))
        certificate = self._sign(subject, key.public_key(), extensions)
        private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file = self._folder / f"{user}.pem"
        file.write_bytes(certificate.public_bytes(PEM) + private)
        return certificate.public_bytes(DER), context(file)


def context(file=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if file is not None:
        made.load_cert_chain(file)
    return made


def use_version(made, version):
    made.minimum_version = made.maximum_version = version
    return made


def refused(bench, **options):
    """Connects with what must be refused; with TLS 1.3 the client learns it from its first read."""
    try:
        client = bench.client(**options)
        client.tls.recv(1)
    except (ssl.SSLError, ConnectionError):
        pass
    return bench.wait(ConnectionClosed).cause


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"), "our CA")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("foreign"), "foreign CA")


@BOTH_VERSIONS
def test_a_given_certificate_comes_with_the_connection(start, authority, version):
    bench = start(clients=ClientAuthorities(authority.pem))
    der, made = authority.client("alice")
    _, up = bench.connected(context=use_version(made, version))
    assert up.peer_certificate == der
    assert len(up.exporter_key) == len(up.proof_key) == 32


@BOTH_VERSIONS
def test_a_client_may_have_none(start, authority, version):
    bench = start(clients=ClientAuthorities(authority.pem))
    client, up = bench.connected(context=use_version(context(), version))
    assert up.peer_certificate == b""
    client.send(b"hello")
    assert bench.read_from(up.connection_id, 5) == b"hello"


@BOTH_VERSIONS
def test_one_of_a_foreign_ca_is_refused(start, authority, foreign, version):
    bench = start(clients=ClientAuthorities(authority.pem))
    _, made = foreign.client("mallory")
    assert refused(bench, context=use_version(made, version)) == Cause.HANDSHAKE_FAILED
    assert bench.gateway.stats()["handshakes_failed"] == 1


@BOTH_VERSIONS
def test_one_for_servers_is_refused(start, authority, version):
    bench = start(clients=ClientAuthorities(authority.pem))
    _, made = authority.client("server", purpose=x509.ExtendedKeyUsageOID.SERVER_AUTH)
    assert refused(bench, context=use_version(made, version)) == Cause.HANDSHAKE_FAILED


@BOTH_VERSIONS
def test_each_host_takes_the_certificates_of_its_own_ca(start, authority, foreign, ecdsa_pair, version):
    other = TlsHost((parse_certificate(*ecdsa_pair),), ClientAuthorities(foreign.pem), name="other.test")
    bench = start(clients=ClientAuthorities(authority.pem), hosts=(other,))
    for name, ours, theirs in (("vpn.test", authority, foreign), ("other.test", foreign, authority)):
        der, made = ours.client(f"one of {name}")
        _, up = bench.connected(context=use_version(made, version), server_name=name)
        assert up.peer_certificate == der
        _, made = theirs.client(f"no one of {name}")
        assert refused(bench, context=use_version(made, version), server_name=name) == Cause.HANDSHAKE_FAILED


def test_none_is_asked_for_without_a_ca(bench, authority):
    _, made = authority.client("bob")
    _, up = bench.connected(context=made)
    assert up.peer_certificate == b""


@BOTH_VERSIONS
def test_a_session_that_brought_a_certificate_is_not_resumed(start, authority, version):
    """A resumed handshake brings no certificate: a factor that was asked for would be skipped."""
    bench = start(clients=ClientAuthorities(authority.pem))
    der, made = authority.client("carol")
    first, up = bench.connected(context=use_version(made, version))
    bench.gateway.send(up.connection_id, b"x")
    assert first.read(1) == b"x"  # a ticket of TLS 1.3 would have come before
    again = bench.client(context=made, session=first.tls.session) if first.tls.session else bench.client(context=made)
    again.send(b"x")
    later = bench.wait(ConnectionUp)
    assert (again.tls.session_reused, later.resumed, later.peer_certificate) == (False, False, der)


@BOTH_VERSIONS
def test_a_large_certificate_ends_the_handshake_or_comes_whole(start, authority, version):
    bench = start(clients=ClientAuthorities(authority.pem))
    der, made = authority.client("dave", padding=6000)
    _, up = bench.connected(context=use_version(made, version))
    assert up.peer_certificate == der
    _, made = authority.client("erin", padding=16384)
    assert refused(bench, context=use_version(made, version)) == Cause.HANDSHAKE_FAILED


def test_a_ca_that_cannot_be_read_is_said(start):
    with pytest.raises(GatewayError, match="CA of client certificates"):
        start(clients=ClientAuthorities(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))


class Revoking:
    """Clients of one authority that revokes the first of them."""

    def __init__(self, folder, **lifetime):
        self.authority = LabAuthority(folder)
        self.revoked, self.good = self.authority.issue("revoked"), self.authority.issue("good")
        self.crl = self.authority.revoke(self.revoked, **lifetime)

    @staticmethod
    def context(files, version):
        made = use_version(context(), version)
        made.load_cert_chain(files.certificate, files.key)
        return made


@BOTH_VERSIONS
def test_a_revoked_certificate_is_refused(start, tmp_path, version):
    some = Revoking(tmp_path)
    bench = start(clients=ClientAuthorities(some.authority.pem, some.crl, RevocationCheck.CHAIN))
    assert refused(bench, context=some.context(some.revoked, version)) == Cause.HANDSHAKE_FAILED
    _, up = bench.connected(context=some.context(some.good, version))
    assert up.peer_certificate == some.good.der
    _, up = bench.connected(context=use_version(context(), version))
    assert up.peer_certificate == b"", "a client without a certificate is not concerned"


def test_each_list_of_several_counts(start, tmp_path):
    one, two = Revoking(tmp_path / "one"), Revoking(tmp_path / "two")
    two.authority = LabAuthority(tmp_path / "three", "another CA")
    two.revoked, two.good = two.authority.issue("revoked"), two.authority.issue("good")
    two.crl = two.authority.revoke(two.revoked)
    bench = start(
        clients=ClientAuthorities(one.authority.pem + two.authority.pem, one.crl + two.crl, RevocationCheck.CHAIN)
    )
    version = ssl.TLSVersion.TLSv1_3
    for some in (one, two):
        assert refused(bench, context=some.context(some.revoked, version)) == Cause.HANDSHAKE_FAILED
        assert bench.connected(context=some.context(some.good, version))[1].peer_certificate == some.good.der


@pytest.mark.parametrize("check", [RevocationCheck.CHAIN, RevocationCheck.LEAF], ids=["chain", "leaf"])
def test_clients_of_an_authority_without_a_list_are_refused(start, tmp_path, check):
    some, other = Revoking(tmp_path / "one"), LabAuthority(tmp_path / "two", "another CA")
    bench = start(clients=ClientAuthorities(some.authority.pem + other.pem, some.crl, check))
    version = ssl.TLSVersion.TLSv1_3
    assert refused(bench, context=some.context(other.issue("x"), version)) == Cause.HANDSHAKE_FAILED
    assert bench.connected(context=some.context(some.good, version))[1].peer_certificate == some.good.der


def test_without_a_list_in_date_every_client_is_refused(start, tmp_path):
    some = Revoking(tmp_path, lifetime=-DAY / 2)
    with pytest.raises(GatewayError, match="revocation list"):
        start(clients=ClientAuthorities(some.authority.pem, some.crl, RevocationCheck.CHAIN))
    bench = start(clients=ClientAuthorities(some.authority.pem, b"", RevocationCheck.CHAIN))
    assert refused(bench, context=some.context(some.good, ssl.TLSVersion.TLSv1_3)) == Cause.HANDSHAKE_FAILED


def test_a_new_list_is_for_new_handshakes(start, ecdsa_pair, tmp_path):
    some = Revoking(tmp_path)
    version = ssl.TLSVersion.TLSv1_3
    bench = start(clients=ClientAuthorities(some.authority.pem))
    assert bench.connected(context=some.context(some.revoked, version))[1].peer_certificate == some.revoked.der
    own = (parse_certificate(*ecdsa_pair),)
    clients = ClientAuthorities(some.authority.pem, some.crl, RevocationCheck.CHAIN)
    bench.gateway.set_hosts((TlsHost(own, clients),))
    assert refused(bench, context=some.context(some.revoked, version)) == Cause.HANDSHAKE_FAILED
    with pytest.raises(GatewayError, match="revocation list"):
        bench.gateway.set_hosts((TlsHost(own, ClientAuthorities(some.authority.pem, b"junk", RevocationCheck.LEAF)),))
    assert refused(bench, context=some.context(some.revoked, version)) == Cause.HANDSHAKE_FAILED
