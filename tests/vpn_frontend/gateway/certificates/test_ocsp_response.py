# SPDX-License-Identifier: GPL-3.0-or-later
"""OCSP responses of the server's certificates: which are stapled. ``openssl ocsp`` is the responder."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from lab.authority import Authority
from vpn_frontend.gateway.certificates.ocsp_response import MAX_RESPONSE, ResponseError, check_response


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def issued(ca):
    return ca.issue("vpn", purpose=ExtendedKeyUsageOID.SERVER_AUTH)


@pytest.fixture(scope="module")
def chain(ca, issued):
    return [x509.load_der_x509_certificate(issued.der), ca.certificate]


@pytest.fixture(scope="module")
def response(ca, issued, tmp_path_factory):
    return ca.respond(tmp_path_factory.mktemp("responder"), issued.certificate).read_bytes()


def test_a_good_response_is_stapled_until_its_next_update(response, chain):
    until = check_response(response, chain)
    assert dt.timedelta(hours=23) < until - dt.datetime.now(dt.UTC) <= dt.timedelta(days=1)


def refusal(response, chain, now=None):
    with pytest.raises(ResponseError) as caught:
        check_response(response, chain, now)
    return str(caught.value)


def test_one_out_of_date_is_not(response, chain):
    now = dt.datetime.now(dt.UTC)
    assert "expired at" in refusal(response, chain, now + dt.timedelta(days=2))
    assert "begins at" in refusal(response, chain, now - dt.timedelta(days=2))


def test_one_for_another_certificate_is_not(response, ca):
    other = x509.load_der_x509_certificate(ca.issue("other").der)
    assert "another certificate" in refusal(response, [other, ca.certificate])


def test_one_of_a_foreign_authority_is_not(ca, issued, chain, tmp_path):
    """Of the same name, for the same serial number, signed with another key."""
    foreign = Authority(tmp_path / "foreign")
    forged = foreign.respond(tmp_path, issued.certificate).read_bytes()
    assert "neither the issuer" in refusal(forged, chain)
    assert check_response(forged, chain[:1]) is not None, "without the issuer in the chain nothing can be compared"


def test_one_that_says_revoked_is_not(ca, issued, chain, tmp_path):
    assert "revoked" in refusal(ca.respond(tmp_path, issued.certificate, revoked=True).read_bytes(), chain)


def test_an_error_of_the_responder_and_too_much_are_not(chain):
    assert "try_later" in refusal(bytes.fromhex("30030a0103"), chain)
    assert str(MAX_RESPONSE) in refusal(bytes(MAX_RESPONSE + 1), chain)


def test_a_changed_byte_of_what_is_signed_is_never_stapled(response, chain):
    signed = ocsp.load_der_ocsp_response(response).tbs_response_bytes
    start = response.index(signed)
    for at in range(start, start + len(signed)):
        changed = bytearray(response)
        changed[at] ^= 1
        assert refusal(bytes(changed), chain)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(chain, data):
    assert refusal(data, chain)
