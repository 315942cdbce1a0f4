# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from cryptography.x509 import DNSName, NameAttribute, RFC822Name
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from lab.authority import Authority
from vpn_frontend.auth.certificate.identity import (
    MAX_GROUPS,
    SAN_EMAIL,
    CertificateFields,
    CertificateNameError,
    is_field,
    read_identity,
)

CN, UID, OU = NameOID.COMMON_NAME, NameOID.USER_ID, NameOID.ORGANIZATIONAL_UNIT_NAME


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def sound(authority):
    return authority.issue("sound", subject((CN, "alice"))).der


def subject(*pairs):
    """Attributes as a certificate may hold them, those that a builder would refuse too."""
    return [NameAttribute(oid, value, _validate=False) for oid, value in pairs]


def identity(authority, pairs, user="CN", groups="", names=()):
    der = authority.issue("client", subject(*pairs), names=names).der
    return read_identity(der, CertificateFields(user, groups))


@pytest.mark.parametrize(
    ("field", "pairs", "user"),
    [
        ("CN", [(CN, "alice")], "alice"),
        ("UID", [(CN, "Alice A."), (UID, "alice")], "alice"),
        ("0.9.2342.19200300.100.1.1", [(UID, "alice")], "alice"),
        ("2.5.4.3", [(CN, "J\u00f6rg")], "J\u00f6rg"),
        ("CN", [(CN, "x" * 64)], "x" * 64),
        ("emailAddress", [(NameOID.EMAIL_ADDRESS, "a@example.org")], "a@example.org"),
    ],
    ids=["CN", "UID", "OID", "umlaut", "longest", "email"],
)
def test_the_user_of_a_subject(authority, field, pairs, user):
    assert identity(authority, pairs, field).user == user


def test_the_user_of_an_alternative_name_beside_others(authority):
    names = [DNSName("host.example"), RFC822Name("alice@example.org"), DNSName("other.example")]
    assert identity(authority, [(CN, "x")], SAN_EMAIL, names=names).user == "alice@example.org"


def test_every_value_of_the_group_field_counts_once(authority):
    pairs = [(CN, "alice"), (OU, "staff"), (OU, "ops"), (OU, "staff")]
    assert identity(authority, pairs, groups="OU").groups == ("staff", "ops")
    assert identity(authority, pairs).groups == ()


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([(UID, "alice")], "certificate_without_user"),
        ([(CN, "")], "certificate_name_malformed"),
        ([(CN, "alice"), (CN, "bob")], "certificate_with_many_users"),
        ([(CN, "alice\0.evil")], "certificate_name_malformed"),
        ([(CN, "alice\nroot")], "certificate_name_malformed"),
        ([(CN, " alice")], "certificate_name_malformed"),
        ([(CN, "   ")], "certificate_name_malformed"),
        ([(CN, "x" * 65)], "certificate_name_too_long"),
        ([(CN, "\u00e9" * 33)], "certificate_name_too_long"),
    ],
    ids=["absent", "empty", "two", "NUL", "control", "blank before", "blanks", "long", "long in UTF-8"],
)
def test_a_subject_that_names_nobody(authority, pairs, reason):
    with pytest.raises(CertificateNameError, match=reason):
        identity(authority, pairs)


def test_an_alternative_name_that_names_nobody(authority):
    two = [RFC822Name("a@example.org"), RFC822Name("b@example.org")]
    for names, reason in (((), "without_user"), ([DNSName("alice")], "without_user"), (two, "with_many_users")):
        with pytest.raises(CertificateNameError, match=reason):
            identity(authority, [(CN, "alice")], SAN_EMAIL, names=names)


def test_a_bad_group_refuses_the_certificate(authority):
    for groups in (["staff", ""], ["staff\0"], [f"g{number}" for number in range(MAX_GROUPS + 1)]):
        with pytest.raises(CertificateNameError):
            identity(authority, [(CN, "alice"), *((OU, group) for group in groups)], groups="OU")


def test_text_that_is_not_utf8(authority):
    der = authority.issue("client", subject((CN, "alXce"))).der
    with pytest.raises(CertificateNameError, match="malformed"):
        read_identity(der.replace(b"alXce", b"al\xffce"), CertificateFields("CN"))


def test_a_version_that_does_not_exist(sound):
    version = b"\xa0\x03\x02\x01"
    with pytest.raises(CertificateNameError, match="malformed"):
        read_identity(sound.replace(version + b"\x02", version + b"\x4a", 1), CertificateFields("CN"))


@given(st.binary(max_size=300))
def test_anything_is_refused_or_read(der):
    with pytest.raises(CertificateNameError):
        read_identity(der, CertificateFields("CN"))


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3))
def test_a_damaged_certificate_gives_a_sound_name_or_none(sound, changes):
    der = bytearray(sound)
    for at, value in changes:
        der[at % len(der)] = value
    try:
        user = read_identity(bytes(der), CertificateFields("CN")).user
    except CertificateNameError:
        return
    assert user.isprintable()
    assert 0 < len(user.encode()) <= 64


@pytest.mark.parametrize(
    ("text", "usable"),
    [("CN", True), ("san:email", True), ("2.5.4.3", True), ("", False), ("cn", False), ("2.5", True), ("2..5", False),
     ("9.9.9", False), ("san:dns", False), ("2.5.4.3 ", False)],
)  # fmt: skip
def test_fields(text, usable):
    assert is_field(text) is usable
    assert (CertificateFields(text).find_problem() is None) is usable
