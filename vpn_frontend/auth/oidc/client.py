# SPDX-License-Identifier: GPL-3.0-or-later
"""This server as the provider's client: its proof at the token endpoint (OpenID Connect Core 1.0, section 9).

``private_key_jwt`` with a key, ``client_secret_basic`` with a secret, and ``none`` for a public client.
"""

from __future__ import annotations

import secrets
from dataclasses import field
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from sentry_engine.records import dataclass

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # RFC 7523, section 2.2
ASSERTION_LIFETIME = 60  # seconds
MIN_RSA_BITS = 2048
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class ClientKeyError(Exception):
    """The file is no key that can sign. The text says why."""


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A private key and the algorithm that it signs with. ``key_id``: as the provider knows it."""

    key: RSAKey | ECKey | OKPKey = field(repr=False)
    algorithm: str
    key_id: str


@dataclass(frozen=True, slots=True)
class OidcClient:
    """``id`` as registered at the provider. ``key`` is preferred; an empty secret without a key: a public client."""

    id: str
    secret: str = field(default="", repr=False)
    key: ClientKey | None = None

    def authenticate(self, token_endpoint: str, now: float) -> tuple[dict[str, str], tuple[str, str] | None]:
        """Fields of the token request, and user and password of its header. ``now`` is Unix time."""
        if self.key is None:
            return {}, (self.id, self.secret) if self.secret else None
        claims: dict[str, Any] = {
            "iss": self.id,
            "sub": self.id,
            "aud": token_endpoint,
            "jti": secrets.token_urlsafe(16),
            "iat": int(now),
            "exp": int(now) + ASSERTION_LIFETIME,
        }
        header = {"alg": self.key.algorithm, "kid": self.key.key_id}
        assertion = jwt.encode(header, claims, self.key.key, algorithms=[self.key.algorithm])
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}, None


def read_client_key(pem: bytes, key_id: str = "") -> ClientKey:
    """A private key without a password. An empty ``key_id``: its thumbprint (RFC 7638). Raises ``ClientKeyError``."""
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ClientKeyError("no private key in PEM form without a password") from error
    key: RSAKey | ECKey | OKPKey
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size >= MIN_RSA_BITS:
        key, algorithm = RSAKey.import_key(pem), "RS256"
    elif isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _CURVES:
        key, algorithm = ECKey.import_key(pem), _CURVES[private.curve.name]
    elif isinstance(private, ed25519.Ed25519PrivateKey):
        key, algorithm = OKPKey.import_key(pem), "EdDSA"
    else:
        raise ClientKeyError(f"neither RSA of {MIN_RSA_BITS} bits or more, nor P-256, P-384, P-521 or Ed25519")
    return ClientKey(key, algorithm, key_id or key.thumbprint())
