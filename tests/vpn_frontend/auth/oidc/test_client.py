# SPDX-License-Identifier: GPL-3.0-or-later
"""How the VPN authenticates at the provider's token endpoint."""

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from joserfc import jwt
from joserfc.jwk import JWKRegistry

from vpn_frontend.auth.oidc.client import ASSERTION_TYPE, ClientKeyError, OidcClient, read_client_key

ENDPOINT = "https://idp.example/token"
NOW = 1_700_000_000.5


def pem(key, encryption=None):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (rsa.generate_private_key(65537, 2048), "RS256"),
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ec.generate_private_key(ec.SECP521R1()), "ES512"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
    ],
    ids=["RSA", "P-256", "P-384", "P-521", "Ed25519"],
)
def test_a_key_signs_an_assertion(key, algorithm):
    client = OidcClient("vpn", "", read_client_key(pem(key)))
    fields, auth = client.authenticate(ENDPOINT, NOW)
    assert auth is None
    assert fields["client_assertion_type"] == ASSERTION_TYPE
    public = JWKRegistry.import_key(client.key.key.as_dict(private=False))
    token = jwt.decode(fields["client_assertion"], public, algorithms=[algorithm])
    assert token.header == {"alg": algorithm, "kid": client.key.key.thumbprint(), "typ": "JWT"}
    claims = token.claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("vpn", "vpn", ENDPOINT)
    assert (claims["iat"], claims["exp"]) == (1_700_000_000, 1_700_000_060)
    again, _ = client.authenticate(ENDPOINT, NOW)
    assert again["client_assertion"] != fields["client_assertion"], "each has an id of its own"
    assert "PRIVATE" not in repr(client)


def test_a_secret_and_a_public_client():
    assert OidcClient("vpn", "s3cret").authenticate(ENDPOINT, NOW) == ({}, ("vpn", "s3cret"))
    assert OidcClient("vpn").authenticate(ENDPOINT, NOW) == ({}, None)
    assert "s3cret" not in repr(OidcClient("vpn", "s3cret"))


def test_the_provider_may_know_the_key_by_another_name():
    assert read_client_key(pem(ed25519.Ed25519PrivateKey.generate()), "mine").key_id == "mine"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n",
        pem(rsa.generate_private_key(65537, 1024)),
        pem(ec.generate_private_key(ec.SECP256K1())),
        pem(ed448.Ed448PrivateKey.generate()),
        pem(dsa.generate_private_key(1024)),
        pem(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"x")),
    ],
    ids=["empty", "junk", "short RSA", "other curve", "Ed448", "DSA", "with a password"],
)
def test_keys_that_cannot_be_used(content):
    with pytest.raises(ClientKeyError):
        read_client_key(content)
