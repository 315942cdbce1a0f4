# SPDX-License-Identifier: GPL-3.0-or-later
from datetime import UTC, datetime

import pytest
from cryptography import x509

from lab.authority import DAY, DER, Authority
from vpn_frontend.gateway.certificates.client_authorities import is_listed, load_authorities
from vpn_frontend.gateway.certificates.server_certificate import CertificateError
from vpn_frontend.gateway.interface import RevocationCheck

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("other"), "other CA")


def load(tmp_path, ca, crl=None, now=NOW, *, strict=True):
    (tmp_path / "ca.pem").write_bytes(ca)
    if crl is not None:
        (tmp_path / "crl.pem").write_bytes(crl)
    return load_authorities(tmp_path / "ca.pem", None if crl is None else tmp_path / "crl.pem", strict=strict, now=now)


def test_without_a_list_none_is_revoked(tmp_path, authority):
    loaded = load(tmp_path, authority.pem)
    assert (loaded.authorities.ca, loaded.authorities.crl, loaded.warnings) == (authority.pem, b"", ())


def test_a_list_of_every_authority(tmp_path, authority, other):
    lists = authority.revoke() + b"text between\n" + other.revoke()
    loaded = load(tmp_path, authority.pem + other.pem, lists)
    assert loaded.authorities.crl.count(b"BEGIN X509 CRL") == 2
    assert (loaded.authorities.revocation, loaded.warnings) == (RevocationCheck.CHAIN, ())


def test_a_list_in_der(tmp_path, authority):
    crl = x509.load_pem_x509_crl(authority.revoke()).public_bytes(DER)
    assert load(tmp_path, authority.pem, crl).authorities.crl.startswith(b"-----BEGIN X509 CRL")


def test_an_authority_without_a_list_is_told(tmp_path, authority, other):
    loaded = load(tmp_path, authority.pem + other.pem, authority.revoke())
    assert loaded.authorities.revocation is RevocationCheck.LEAF
    assert [text.partition(": ")[2] for text in loaded.warnings] == ["no list of CN=other CA: its clients are refused"]


def test_dates_are_told(tmp_path, authority):
    crl = authority.revoke(now=NOW)
    assert load(tmp_path, authority.pem, crl).warnings == ()
    late = load(tmp_path, authority.pem, crl, NOW + 2 * DAY)
    assert "should have been replaced" in late.warnings[0]
    assert (late.authorities.crl, late.authorities.revocation) == (b"", RevocationCheck.CHAIN)
    assert "in the future" in load(tmp_path, authority.pem, crl, NOW - 3 * DAY).warnings[0]
    assert "expired" in load(tmp_path, authority.pem, now=NOW + 60 * DAY).warnings[0]


@pytest.mark.parametrize(
    ("crl", "text"),
    [(b"", "no revocation list"), (b"junk", "no revocation list"), (None, "no authority in auth.certificate.ca")],
    ids=["empty", "junk", "foreign"],
)
def test_a_list_that_cannot_be_used(tmp_path, authority, other, crl, text):
    with pytest.raises(CertificateError, match=text):
        load(tmp_path, authority.pem, other.revoke() if crl is None else crl)


def test_a_forged_list_is_refused(tmp_path, authority):
    namesake = Authority(tmp_path / "namesake")
    with pytest.raises(CertificateError, match="wrong signature"):
        load(tmp_path, authority.pem, namesake.revoke())


def key_usage(*, crl_sign):
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(key_cert_sign=True, crl_sign=crl_sign, **dict.fromkeys(names, False))


def test_an_authority_that_may_sign_no_lists_is_named(tmp_path):
    able = Authority(tmp_path / "able", usage=key_usage(crl_sign=True))
    assert load(tmp_path, able.pem, able.revoke()).warnings == ()
    unable = Authority(tmp_path / "unable", usage=key_usage(crl_sign=False))
    assert load(tmp_path, unable.pem).warnings == ()
    with pytest.raises(CertificateError, match="lacks cRLSign"):
        load(tmp_path, unable.pem, unable.revoke())


def test_lists_that_only_name_whom_they_revoke(tmp_path, other):
    """TLS gets no list then: it would refuse a list of any age, and one of an authority without cRLSign."""
    unable = Authority(tmp_path / "unable", usage=key_usage(crl_sign=False))
    good, bad, foreign = unable.issue("good"), unable.issue("bad"), other.issue("foreign")
    loaded = load(tmp_path, unable.pem + other.pem, unable.revoke(bad, now=NOW - 90 * DAY), strict=False)
    found = loaded.authorities
    assert (loaded.warnings, found.crl, found.revocation) == ((), b"", RevocationCheck.OFF)
    assert [is_listed(one.der, found.listed) for one in (good, bad, foreign)] == [False, True, False]
    assert is_listed(b"junk", found.listed)
    assert loaded == load(tmp_path, unable.pem + other.pem, (tmp_path / "crl.pem").read_bytes(), strict=False)
    with pytest.raises(CertificateError, match="wrong signature"):
        load(tmp_path, unable.pem, Authority(tmp_path / "namesake").revoke(), strict=False)


def test_an_unusable_authority_is_named(tmp_path):
    with pytest.raises(CertificateError, match="no certificates in PEM form"):
        load(tmp_path, b"junk")
    with pytest.raises(CertificateError, match=r"missing\.pem: No such file"):
        load_authorities(tmp_path / "missing.pem", None)
