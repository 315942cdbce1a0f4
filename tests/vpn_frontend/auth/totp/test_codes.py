# SPDX-License-Identifier: GPL-3.0-or-later
import base64
import subprocess
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from vpn_frontend.auth.totp.codes import (
    BACKUP_CHARACTERS,
    BACKUP_CODES,
    SECRET_SIZE,
    clean_code,
    code_at,
    find_step,
    is_code,
    make_backup_codes,
    make_secret,
    read_backup_code,
    render_secret,
    render_uri,
    step_at,
)

DIGITS = b"12345678901234567890"
SECRET = DIGITS


@pytest.mark.parametrize(
    ("algorithm", "secret", "codes"),
    [
        ("sha1", DIGITS, "94287082 07081804 14050471 89005924 69279037 65353130"),
        ("sha256", (DIGITS * 2)[:32], "46119246 68084774 67062674 91819424 90698825 77737706"),
        ("sha512", (DIGITS * 4)[:64], "90693936 25091201 99943326 93441116 38618901 47863826"),
    ],
)
def test_the_vectors_of_rfc_6238(algorithm, secret, codes):
    times = (59, 1111111109, 1111111111, 1234567890, 2000000000, 20000000000)
    made = [code_at(secret, step_at(now), digits=8, algorithm=algorithm) for now in times]
    assert " ".join(made) == codes


@pytest.mark.parametrize("now", [0, 29, 30, 1_700_000_000, 2_000_000_011])
def test_oathtool_makes_the_same_codes(now):
    command = ["oathtool", "--totp", "-b", "-N", f"@{now}", render_secret(SECRET)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    assert code_at(SECRET, step_at(now)) == said


@pytest.mark.parametrize(("offset", "accepted"), [(-61, False), (-30, True), (0, True), (30, True), (61, False)])
def test_one_step_before_and_after_is_accepted(offset, accepted):
    now = 1_700_000_000 // 30 * 30 + 15
    code = code_at(SECRET, step_at(now + offset))
    assert find_step(SECRET, code, now) == (step_at(now + offset) if accepted else None)


def test_of_equal_codes_the_latest_step_counts(monkeypatch):
    monkeypatch.setattr("vpn_frontend.auth.totp.codes.code_at", lambda secret, step: "000000")
    assert find_step(SECRET, "000000", 3000) == 101


@pytest.mark.parametrize(
    ("text", "right"),
    [("012345", True), ("12345", False), ("1234567", False), ("12345a", False), ("\u0661" * 6, False), ("", False)],
)
def test_what_a_code_looks_like(text, right):
    assert is_code(text) is right


def test_a_secret_fits_openconnect_without_padding():
    secret = make_secret()
    assert len(secret) == SECRET_SIZE
    text = render_secret(secret)
    assert len(text) % 8 == 0, "openconnect before 9.20 refuses other lengths"
    assert base64.b32decode(text) == secret
    assert make_secret() != secret


def test_the_uri_of_the_qr_code():
    uri = urlsplit(render_uri(SECRET, issuer="My VPN & more", user="al/ice@x"))
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert [unquote(part) for part in uri.path.lstrip("/").split(":")] == ["My VPN & more", "al/ice@x"]
    assert uri.path.count("/") == 1
    assert "+" not in uri.query, "apps read a plus sign as it is"
    assert parse_qs(uri.query) == {
        "secret": [render_secret(SECRET)],
        "issuer": ["My VPN & more"],
        "algorithm": ["SHA1"],
        "digits": ["6"],
        "period": ["30"],
    }


def test_backup_codes():
    codes = make_backup_codes()
    assert len(set(codes)) == BACKUP_CODES
    assert all(read_backup_code(clean_code(code.lower())) == code for code in codes)
    assert not any(is_code(code) for code in codes)
    assert clean_code("abcd-ef gh") == "abcdefgh"
    for text in ("1234567", "ABCDEFG1", "ABCDEFGHI", "", "\u00e4" * BACKUP_CHARACTERS):
        assert read_backup_code(text) is None
