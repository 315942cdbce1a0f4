# SPDX-License-Identifier: GPL-3.0-or-later
"""A self-signed certificate is complete; an unusable one is reported with the reason."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from ocsentry.setup.certificates import CertificatePairError, expiry_problem, inspect_pair, make_self_signed

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def pair(tmp_path):
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    make_self_signed(certificate, key, ["vpn.example.org", "192.0.2.1", "2001:db8::1"], NOW)
    return certificate, key


def test_the_pair_has_names_and_a_key_for_its_owner_only(pair):
    facts = inspect_pair(*pair)
    assert facts.names == ("vpn.example.org", "192.0.2.1", "2001:db8::1")
    assert facts.self_signed
    assert pair[1].stat().st_mode & 0o777 == 0o600


def test_the_pin_is_what_openssl_computes(pair):
    steps = [f"x509 -in {pair[0]} -pubkey -noout", "pkey -pubin -outform der", "dgst -sha256 -binary", "base64"]
    commands = " | ".join(f"openssl {step}" for step in steps)
    expected = subprocess.run(["sh", "-c", commands], capture_output=True, text=True, check=True).stdout.strip()
    assert inspect_pair(*pair).pin == f"pin-sha256:{expected}"


def test_nothing_is_overwritten(pair):
    before = [path.read_bytes() for path in pair]
    with pytest.raises(FileExistsError):
        make_self_signed(*pair, ["x"], NOW)
    assert [path.read_bytes() for path in pair] == before


def test_validity_begins_before_and_ends_after(pair):
    facts = inspect_pair(*pair)
    assert expiry_problem(facts, NOW) is None
    assert "expired" in str(expiry_problem(facts, NOW + timedelta(days=900)))
    assert "not valid before" in str(expiry_problem(facts, NOW - timedelta(days=1)))


def test_a_key_of_another_certificate_is_refused(pair, tmp_path):
    make_self_signed(tmp_path / "other.crt", tmp_path / "other.key", ["x"], NOW)
    with pytest.raises(CertificatePairError, match="is not the key of"):
        inspect_pair(pair[0], tmp_path / "other.key")


@pytest.mark.parametrize("broken", [0, 1])
@pytest.mark.parametrize(
    "content", [None, b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_an_unreadable_file_is_named(pair, broken, content):
    if content is None:
        pair[broken].unlink()
    else:
        pair[broken].write_bytes(content)
    with pytest.raises(CertificatePairError, match=pair[broken].name):
        inspect_pair(*pair)
