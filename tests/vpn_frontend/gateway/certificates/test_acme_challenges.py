# SPDX-License-Identifier: GPL-3.0-or-later
"""Challenges of ACME servers: the certificate of RFC 8737, and the bounds."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509

from vpn_frontend.gateway.certificates.acme_challenges import (
    ACME_IDENTIFIER,
    LIFETIME,
    MAX_CHALLENGES,
    AcmeChallenges,
    TooManyChallengesError,
    make_challenge,
)

AUTHORIZATION = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"


class FakeGateway:
    def __init__(self):
        self.names = []

    def set_acme_challenges(self, challenges):
        self.names = [host.name for host in challenges]


@pytest.fixture
def gateway():
    return FakeGateway()


@pytest.fixture
def challenges(gateway):
    return AcmeChallenges(gateway)


def test_the_certificate_names_the_host_alone_and_proves_the_account():
    made = x509.load_pem_x509_certificate(make_challenge("vpn.example.org", AUTHORIZATION).chain)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("vpn.example.org")]
    identifier = made.extensions.get_extension_for_oid(ACME_IDENTIFIER)
    assert identifier.critical
    assert identifier.value.value == b"\x04\x20" + hashlib.sha256(AUTHORIZATION.encode()).digest()


def test_each_challenge_has_a_key_of_its_own():
    first, second = (make_challenge("vpn.example.org", AUTHORIZATION) for _ in range(2))
    assert first.key != second.key


def test_names_are_compared_in_lower_case(challenges, gateway):
    challenges.put("VPN.example.org", AUTHORIZATION, 0.0)
    challenges.put("vpn.example.org", AUTHORIZATION, 1.0)
    assert gateway.names == ["vpn.example.org"]
    assert challenges.remove("Vpn.Example.Org")
    assert (gateway.names, challenges.remove("vpn.example.org")) == ([], False)


def test_a_challenge_ends_by_itself(challenges, gateway):
    challenges.put("a.example.org", AUTHORIZATION, 0.0)
    challenges.put("b.example.org", AUTHORIZATION, 1.0)
    challenges.expire(LIFETIME - 0.1)
    assert gateway.names == ["a.example.org", "b.example.org"]
    challenges.expire(LIFETIME)
    assert gateway.names == ["b.example.org"]


def test_the_number_is_bounded(challenges, gateway):
    for number in range(MAX_CHALLENGES):
        challenges.put(f"h{number}.example.org", AUTHORIZATION, 0.0)
    with pytest.raises(TooManyChallengesError, match=str(MAX_CHALLENGES)):
        challenges.put("one.more.example.org", AUTHORIZATION, 1.0)
    challenges.put("h0.example.org", AUTHORIZATION, 1.0)  # takes its own place
    assert len(challenges) == len(gateway.names) == MAX_CHALLENGES
    challenges.put("one.more.example.org", AUTHORIZATION, LIFETIME)  # the others have ended
    assert gateway.names == ["h0.example.org", "one.more.example.org"]
