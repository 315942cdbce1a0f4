# SPDX-License-Identifier: GPL-3.0-or-later
"""The key of an ACME account, and the JWS messages that it signs (RFC 8555 section 6.2)."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

COORDINATE = 32  # bytes of a P-256 coordinate, and of each half of an ES256 signature (RFC 7518)


class AccountKey:
    """An ECDSA P-256 key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        numbers = key.public_key().public_numbers()
        # The members in lexicographic order, as the thumbprint needs them (RFC 7638).
        self.jwk = {
            "crv": "P-256",
            "kty": "EC",
            "x": encode(numbers.x.to_bytes(COORDINATE, "big")),
            "y": encode(numbers.y.to_bytes(COORDINATE, "big")),
        }

    @classmethod
    def generate(cls) -> AccountKey:
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: bytes) -> AccountKey:
        """Raises ``ValueError`` for what is no such key."""
        key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("no ECDSA P-256 key")  # noqa: TRY004 - of a file, not of a caller
        return cls(key)

    def pem(self) -> bytes:
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def key_authorization(self, token: str) -> str:
        """RFC 8555 section 8.1."""
        thumbprint = hashlib.sha256(_compact(self.jwk)).digest()
        return f"{token}.{encode(thumbprint)}"

    def sign(self, url: str, nonce: str, payload: object, account: str | None) -> dict[str, str]:
        """Returns a flattened JWS. ``payload`` ``None``: POST-as-GET. ``account``: its URL; ``None``: the key."""
        identity = {"jwk": self.jwk} if account is None else {"kid": account}
        protected = encode(_compact({"alg": "ES256", "nonce": nonce, "url": url, **identity}))
        body = "" if payload is None else encode(_compact(payload))
        signature = self._key.sign(f"{protected}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
        halves = b"".join(half.to_bytes(COORDINATE, "big") for half in decode_dss_signature(signature))
        return {"protected": protected, "payload": body, "signature": encode(halves)}

    def bind(self, url: str, key_id: str, secret: bytes) -> dict[str, str]:
        """Returns the binding to an account at the authority that is no ACME account (RFC 8555 section 7.3.4)."""
        protected = encode(_compact({"alg": "HS256", "kid": key_id, "url": url}))
        body = encode(_compact(self.jwk))
        code = hmac.HMAC(secret, hashes.SHA256())
        code.update(f"{protected}.{body}".encode())
        return {"protected": protected, "payload": body, "signature": encode(code.finalize())}


def encode(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Raises ``ValueError``."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _compact(document: Any) -> bytes:  # noqa: ANN401 - a JSON document
    return json.dumps(document, separators=(",", ":")).encode()
