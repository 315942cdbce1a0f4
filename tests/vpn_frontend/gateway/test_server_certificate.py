# SPDX-License-Identifier: GPL-3.0-or-later
import datetime as dt
import hashlib
import ssl

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vpn_frontend.gateway.server_certificate import CertificateError, certificate_problems, load_certificate


def test_a_certificate_is_known_by_its_hash(certificate_files):
    certificate = load_certificate(*certificate_files)
    der = ssl.PEM_cert_to_DER_cert(certificate.chain.decode())
    assert certificate.sha1 == hashlib.sha1(der).hexdigest().upper()
    assert certificate_problems(certificate) == []
    assert "expired" in certificate_problems(certificate, certificate.expires_at + dt.timedelta(days=1))[0]


def test_what_is_no_certificate_with_its_key_is_refused_by_name(certificate_files, tmp_path):
    chain, key = certificate_files
    other = tmp_path / "other.key"
    other.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    large = tmp_path / "large.crt"
    large.write_bytes(bytes(2 * 1024 * 1024))
    for pair, word in (
        ((tmp_path / "none.crt", key), "none.crt"),
        ((chain, tmp_path / "none.key"), "none.key"),
        ((key, key), "no certificate"),
        ((chain, chain), "no private key"),
        ((chain, other), "is not the key of"),
        ((large, key), "more than"),
    ):
        with pytest.raises(CertificateError, match=word):
            load_certificate(*pair)
