# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server with ``fips`` negotiates, and that another one negotiates what it refuses."""

from __future__ import annotations

import re
import secrets
import ssl
import subprocess
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from lab.authority import Authority
from lab.timeouts import TIMEOUT
from tests.vpn_frontend.native.dtls.test_openssl import Site, session_file
from vpn_frontend.gateway.fips import restrict_to_fips
from vpn_frontend.gateway.interface import ClientAuthorities, ConnectionClosed, ConnectionUp, DtlsPsk, DtlsUp
from vpn_frontend.settings import VpnSettings

NO_EXTENDED_MASTER_SECRET = 1  # SSL_OP_NO_EXTENDED_MASTER_SECRET of OpenSSL 3
APPROVED = restrict_to_fips(VpnSettings()).ciphers
FIPS = {"fips": True, "ciphers": APPROVED}
SIGNATURES = {"sha1": False, "sha256": True, "sha384": True, "sha512": True}


@pytest.fixture(params=["fips", "without"])
def mode(request):
    """Options of the gateway, and whether they hold the limits."""
    return (FIPS, True) if request.param == "fips" else ({}, False)


def make_context(version, options=0):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.options |= options
    context.set_ciphers("DEFAULT@SECLEVEL=0")  # the client's own certificate may have a small key
    return context


def handshake(bench, context):
    """True if the gateway takes the connection. In TLS 1.3 the client's own handshake may succeed."""
    with suppress(ssl.SSLError, ConnectionError):
        bench.client(context=context).send(b"x")
    return isinstance(bench.wait((ConnectionUp, ConnectionClosed)), ConnectionUp)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize(("group", "approved"), [("X25519", False), ("P-256", True), ("P-384", True), ("P-521", True)])
def test_key_exchange_is_by_nist_curves(start, openssl, rsa_pair, mode, version, group, approved):
    options, limited = mode
    printed = openssl(start(pair=rsa_pair, **options).port, version, "-groups", group)
    assert ("Cipher is (NONE)" in printed) is (limited and not approved), printed


@pytest.mark.parametrize("groups", ["X25519:P-256:P-384", "X448:X25519:P-384:P-256"])
@pytest.mark.parametrize(("version", "size"), [("-tls1_2", 384), ("-tls1_3", "(256|384)")])
def test_of_several_curves_one_of_nist_is_taken(start, openssl, rsa_pair, groups, version, size):
    printed = openssl(start(pair=rsa_pair, **FIPS).port, version, "-groups", groups)
    assert re.search(rf"Server Temp Key: ECDH, (prime256v1|secp384r1), {size} bits", printed), printed


@pytest.mark.parametrize(
    "offered",
    [("-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"), ("-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256")],
)
def test_suites_that_are_not_approved_are_refused(start, openssl, rsa_pair, mode, offered):
    options, limited = mode
    assert ("Cipher is (NONE)" in openssl(start(pair=rsa_pair, **options).port, *offered)) is limited


def test_tls_1_2_needs_the_extended_master_secret(start, mode):
    options, limited = mode
    bench = start(**options)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        assert handshake(bench, make_context(version))
    assert handshake(bench, make_context(ssl.TLSVersion.TLSv1_2, NO_EXTENDED_MASTER_SECRET)) is not limited
    assert handshake(bench, make_context(ssl.TLSVersion.TLSv1_3, NO_EXTENDED_MASTER_SECRET))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_keys_of_clients_have_their_size(start, mode, tmp_path, version):
    options, limited = mode
    authority = Authority(tmp_path)
    bench = start(clients=ClientAuthorities(authority.pem), **options)
    for bits in (1024, 2048):
        files = authority.issue(f"rsa{bits}", key=rsa.generate_private_key(65537, bits))
        context = make_context(version)
        context.load_cert_chain(files.certificate, files.key)
        assert handshake(bench, context) is (bits == 2048 or not limited), bits


@pytest.mark.parametrize("offered", ["RSA+SHA1", "ECDSA+SHA1"])
def test_the_server_signs_nothing_with_sha1(start, openssl, rsa_pair, ecdsa_pair, mode, offered):
    options, _ = mode
    bench = start(pair=rsa_pair if offered.startswith("RSA") else ecdsa_pair, **options)
    old = ("-tls1_2", "-cipher", "ALL@SECLEVEL=0", "-sigalgs")
    assert "alert handshake failure" in openssl(bench.port, *old, offered)
    assert "Peer signing digest: SHA256" in openssl(bench.port, *old, f"{offered}:RSA+SHA256:ECDSA+SHA256")


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """A CA of OpenSSL, and its certificates of one client by how it signed them: the package knows no SHA-1."""
    folder = tmp_path_factory.mktemp("signed")

    def run(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=TIMEOUT)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
    run("req", *key, "-keyout", "alice.key", "-out", "alice.csr", "-subj", "/CN=alice")
    (folder / "usage").write_text("extendedKeyUsage=clientAuth\n")
    issue = ("x509", "-req", "-in", "alice.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-extfile", "usage")
    for digest in SIGNATURES:
        run(*issue, f"-{digest}", "-CAcreateserial", "-out", f"{digest}.pem")
    return folder


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_certificates_of_clients_are_signed_with_sha2(start, mode, signed, version):
    options, limited = mode
    bench = start(clients=ClientAuthorities((signed / "ca.pem").read_bytes()), **options)
    for digest, approved in SIGNATURES.items():
        context = make_context(version)
        context.load_cert_chain(signed / f"{digest}.pem", signed / "alice.key")
        assert handshake(bench, context) is (approved or not limited), digest


@pytest.mark.parametrize(
    ("suites", "approved"),
    [("PSK-AES256-GCM-SHA384", True), ("PSK-AES128-GCM-SHA256", True), ("PSK-CHACHA20-POLY1305", False)],
)
def test_dtls_with_a_pre_shared_key_is_by_aes_gcm(start, tmp_path, mode, suites, approved):
    options, limited = mode
    name, key = secrets.token_bytes(32), secrets.token_bytes(32)
    site = Site(start, tmp_path, **options)
    try:
        session = site.expect(DtlsPsk(name, key))
        site.connect(session_file(name), "-psk", key.hex(), "-psk_identity", "psk", "-cipher", suites)
        if approved or not limited:
            event = site.bench.wait(DtlsUp)
            assert (event.session, event.cipher.removesuffix("-SHA256")) == (session, suites.removesuffix("-SHA256"))
        else:
            site.bench.wait_stat("dtls_handshakes_failed")
    finally:
        site.close()
