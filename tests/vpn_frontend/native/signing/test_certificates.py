# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys in another process, with all that a server has of certificates: hosts, kinds, OCSP responses, reloads."""

from __future__ import annotations

import ssl
from dataclasses import replace

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from lab.authority import Authority
from tests.vpn_frontend.native.signing.conftest import KEY
from vpn_frontend.gateway.certificates.server_certificate import parse_certificate
from vpn_frontend.gateway.interface import TlsHost

VERSIONS = {"-tls1_2": ssl.TLSVersion.TLSv1_2, "-tls1_3": ssl.TLSVersion.TLSv1_3}
MORE = KEY + 10  # the first number of a key that a test adds


def signed_by(pair, number):
    """The certificate as the gateway gets it: without the key."""
    return replace(parse_certificate(*pair), key=b"", signer_key=number)


def shown(client):
    """The PEM of the certificate that the server presented."""
    return ssl.DER_cert_to_PEM_cert(client.tls.getpeercert(binary_form=True)).encode()


@pytest.mark.parametrize("flag", VERSIONS)
def test_each_host_has_its_certificates_and_keys(isolated, pairs, openssl, flag):
    """ECDSA beside RSA for one name, and another curve for the other."""
    bench = isolated(
        pairs["p256"], pairs["rsa"], hosts=(TlsHost((signed_by(pairs["p384"], MORE),), name="other.test"),)
    )
    bench.signers.add(parse_certificate(*pairs["p384"]), MORE)
    for name, host, wanted in (("other.test", "other.test", "p384"), ("vpn.test", "", "p256")):
        client, up = bench.connected(server_name=name, version=VERSIONS[flag])
        assert (shown(client), up.host) == (pairs[wanted][0], host)
    answer = openssl(bench.port, flag, "-servername", "vpn.test", "-sigalgs", "rsa_pss_rsae_sha256:RSA+SHA256")
    assert pairs["rsa"][0].decode().strip() in answer


def test_a_reload_changes_certificates_and_keys_between_two_handshakes(isolated, pairs):
    bench = isolated(pairs["p256"])
    assert shown(bench.connected()[0]) == pairs["p256"][0]
    for number, kind in enumerate(("rsa", "ed25519", "p521"), start=MORE):
        bench.signers.add(parse_certificate(*pairs[kind]), number)
        bench.gateway.set_hosts((TlsHost((signed_by(pairs[kind], number),)),))
        bench.signers.forget(number)  # as the server does once no handshake has the keys of before
        assert shown(bench.connected()[0]) == pairs[kind][0]


@pytest.mark.parametrize("flag", VERSIONS)
def test_a_response_is_stapled(isolated, openssl, tmp_path, flag):
    authority = Authority(tmp_path / "ca")
    issued = authority.issue("vpn", purpose=ExtendedKeyUsageOID.SERVER_AUTH)
    pair = issued.certificate.read_bytes(), issued.key.read_bytes()
    response = authority.respond(tmp_path, issued.certificate).read_bytes()
    bench = isolated(pair)
    bench.gateway.set_hosts((TlsHost((replace(signed_by(pair, KEY), ocsp=response),)),))
    answer = openssl(bench.port, flag, "-status")
    assert "OCSP Response Status: successful (0x0)" in answer
    assert "Cert Status: good" in answer
    assert "OCSP" not in openssl(bench.port, flag), "a client that does not ask gets none"
