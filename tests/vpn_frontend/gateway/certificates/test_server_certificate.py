# SPDX-License-Identifier: GPL-3.0-or-later
import datetime as dt
import hashlib
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12

from vpn_frontend.gateway.certificates.locked_key import LockedKeyError, open_pkcs12
from vpn_frontend.gateway.certificates.server_certificate import (
    CertificateError,
    certificate_problems,
    load_certificate,
)


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


@pytest.fixture
def locked(certificate_files, tmp_path):
    """The pair with a password: a PEM key, and a PKCS #12 file with an intermediate certificate. The password file."""
    chain, key = certificate_files
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    [leaf] = x509.load_pem_x509_certificates(chain.read_bytes())
    encryption = serialization.BestAvailableEncryption(b"open sesame")
    pem, bundle, password = tmp_path / "locked.key", tmp_path / "server.p12", tmp_path / "password"
    pem.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    bundle.write_bytes(pkcs12.serialize_key_and_certificates(b"vpn", private, leaf, [leaf], encryption))
    password.write_bytes(b"open sesame\nsecond line\n")
    return chain, pem, bundle, password


def test_a_key_may_have_a_password_or_be_in_pkcs12(certificate_files, locked):
    chain, pem, bundle, password = locked
    plain = load_certificate(*certificate_files)
    opened = load_certificate(chain, pem, None, password)
    assert (opened.sha1, opened.key_type) == (plain.sha1, plain.key_type)
    assert b"ENCRYPTED" not in opened.key
    whole = load_certificate(bundle, bundle, None, password)
    assert whole.sha1 == plain.sha1
    assert whole.chain.count(b"BEGIN CERTIFICATE") == 2


def test_a_locked_key_without_its_password_is_refused_without_telling_any(certificate_files, locked, tmp_path):
    chain, pem, bundle, password = locked
    wrong, empty = tmp_path / "wrong", tmp_path / "empty"
    wrong.write_bytes(b"open barley\n")
    empty.touch()
    for files, word in (
        ((chain, pem, None, None), "without a password"),
        ((chain, pem, None, wrong), "locked.key: no private key in PEM form with that password"),
        ((chain, pem, None, empty), "with that password"),
        ((chain, pem, None, tmp_path / "none"), "none"),
        ((chain, certificate_files[1], None, password), "with that password"),
        ((bundle, bundle, None, wrong), "server.p12: no PKCS #12 file with that password"),
        ((bundle, bundle, None, None), "no PKCS #12"),
        ((bundle, pem, None, password), "no certificate"),
    ):
        with pytest.raises(CertificateError, match=word) as refused:
            load_certificate(*files)
        assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(
    "content", [b"\x30", b"\x30\x80", b"\x30\x82\xff\xff" + bytes(40)], ids=["cut", "open", "long"]
)
def test_what_is_no_pkcs12(content):
    with pytest.raises(LockedKeyError):
        open_pkcs12(content, b"x")
