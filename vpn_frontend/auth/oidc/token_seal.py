# SPDX-License-Identifier: GPL-3.0-or-later
"""Seals a token to the key of a client that waits for its browser on a loopback port (openconnect's hpke.c).

ECDH on P-256 with an ephemeral key, HKDF-SHA256, AES-256-GCM with a tag of 12 bytes. The blob is a version and four
fields: tag and length as 16 bits each, then the value.
"""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

VERSION = b"\0\1"
PUBLIC_KEY, TAG, CIPHERTEXT, NONCE = 1, 2, 3, 4
TAG_SIZE, NONCE_SIZE, KEY_SIZE = 12, 12, 32


def seal_token(token: str, recipient: ec.EllipticCurvePublicKey) -> bytes:
    """The blob that only the owner of ``recipient`` opens."""
    ephemeral = ec.generate_private_key(ec.SECP256R1())
    shared = ephemeral.exchange(ec.ECDH(), recipient)
    key = HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=None, info=b"AC_ECIES").derive(shared)
    nonce = os.urandom(NONCE_SIZE)
    sealed = AESGCM(key).encrypt(nonce, token.encode(), None)
    public = ephemeral.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    size = len(token.encode())
    fields = {PUBLIC_KEY: public, TAG: sealed[size : size + TAG_SIZE], CIPHERTEXT: sealed[:size], NONCE: nonce}
    return VERSION + b"".join(
        name.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value for name, value in fields.items()
    )
