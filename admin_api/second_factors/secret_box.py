# SPDX-License-Identifier: GPL-3.0-or-later
"""Seals secrets of one-time passwords and webhooks with a key that is not in the database.

AES-256-GCM, bound to the owner: a row that is moved to another user or webhook does not open. Backup codes have 40
bits, which a plain hash does not protect, so their digests are MACs. Each use has a key of its own, derived from the
one of the file.
"""

from __future__ import annotations

import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_SIZE = 32  # bytes
NONCE_SIZE = 12
TOTP, WEBHOOKS = "totp", "webhook"  # purposes


class SealError(Exception):
    """The secret was sealed with another key, for another user, or has been altered."""


class SecretBox:
    def __init__(self, key: bytes, purpose: str = TOTP) -> None:
        """What is sealed for one ``purpose`` does not open for another."""
        if len(key) != KEY_SIZE:
            raise ValueError(f"a key of {len(key)} bytes")
        self._cipher = AESGCM(hmac.digest(key, f"ocsentry {purpose} secrets".encode(), "sha256"))
        self._mac_key = hmac.digest(key, f"ocsentry {purpose} backup codes".encode(), "sha256")

    def seal(self, secret: bytes, owner: str) -> bytes:
        """``owner``: the key of the user, or the id of the webhook."""
        nonce = os.urandom(NONCE_SIZE)
        return nonce + self._cipher.encrypt(nonce, secret, owner.encode())

    def open(self, sealed: bytes, owner: str) -> bytes:
        """Raises ``SealError``."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], owner.encode())
        except (InvalidTag, ValueError):
            raise SealError(
                f"the secret of {owner} cannot be opened: auth.totp.key_file is not the key that sealed it"
            ) from None

    def digest_code(self, code: str, user_key: str) -> bytes:
        """The digest of a backup code in its canonical spelling."""
        return hmac.digest(self._mac_key, f"{user_key}\0{code}".encode(), "sha256")
