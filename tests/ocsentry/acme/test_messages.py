# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed messages, and refusals in words."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ocsentry.acme.jws import AccountKey, decode, encode
from ocsentry.acme.server import describe_problem

URL = "https://ca.example.org/new-order"


def test_a_signature_is_that_of_the_key():
    key = AccountKey.generate()
    message = key.sign(URL, "nonce", {"a": 1}, "https://ca.example.org/account/1")
    assert json.loads(decode(message["protected"])) == {
        "alg": "ES256",
        "nonce": "nonce",
        "url": URL,
        "kid": "https://ca.example.org/account/1",
    }
    raw = decode(message["signature"])
    assert len(raw) == 64
    signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public = load_pem_private_key(key.pem(), None).public_key()
    public.verify(signature, f"{message['protected']}.{message['payload']}".encode(), ec.ECDSA(hashes.SHA256()))


def test_a_new_account_shows_its_key_and_reading_has_no_payload():
    key = AccountKey.generate()
    message = key.sign(URL, "nonce", None, None)
    assert json.loads(decode(message["protected"]))["jwk"] == key.jwk
    assert message["payload"] == ""


def test_the_thumbprint_is_that_of_rfc_7638():
    key = AccountKey.generate()
    canonical = f'{{"crv":"P-256","kty":"EC","x":"{key.jwk["x"]}","y":"{key.jwk["y"]}"}}'
    digest = base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).decode().rstrip("=")
    assert key.key_authorization("token") == f"token.{digest}"


def test_a_key_is_read_again():
    key = AccountKey.generate()
    assert AccountKey.from_pem(key.pem()).jwk == key.jwk
    with pytest.raises(ValueError, match=r"PEM|key|decode"):
        AccountKey.from_pem(b"-----BEGIN")


def test_the_binding_is_signed_with_the_secret_of_the_authority():
    key = AccountKey.generate()
    binding = key.bind(URL, "kid-1", b"s" * 32)
    assert json.loads(decode(binding["payload"])) == key.jwk
    assert json.loads(decode(binding["protected"])) == {"alg": "HS256", "kid": "kid-1", "url": URL}
    assert encode(decode(binding["signature"])) == binding["signature"]


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        ({"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many"}, "too many (rateLimited)"),
        ({"type": "urn:ietf:params:acme:error:malformed"}, "malformed"),
        (
            {
                "type": "urn:ietf:params:acme:error:compound",
                "detail": "two names",
                "subproblems": [
                    {
                        "type": "urn:ietf:params:acme:error:caa",
                        "detail": "CAA\nforbids it",
                        "identifier": {"type": "dns", "value": "a.example.org"},
                    }
                ],
            },
            "two names (compound); a.example.org: CAA forbids it (caa)",
        ),
    ],
)
def test_a_refusal_is_one_line(problem, text):
    assert describe_problem(problem) == text
