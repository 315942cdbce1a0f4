# SPDX-License-Identifier: GPL-3.0-or-later
"""Cookies: 256 random bits that the client keeps and of which the server keeps only a hash.

How long one lives is decided by its holder's life, not here. The length is checked before a byte is decoded. A lookup
goes by SHA-256: what its timing could tell is about the digest of a guess, never about a cookie, and a copy of the
server's memory opens no tunnel.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Generic, TypeVar

Holder = TypeVar("Holder")
COOKIE_SIZE = 32  # bytes
COOKIE_LENGTH = 2 * COOKIE_SIZE  # characters of its hex form
Digest = bytes


class CookieJar(Generic[Holder]):
    """Who holds which cookie."""

    def __init__(self) -> None:
        self._holders: dict[Digest, Holder] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def issue(self, holder: Holder) -> tuple[str, Digest]:
        """A new cookie for ``holder``: the text for the client, and the digest to revoke it by."""
        secret = secrets.token_bytes(COOKIE_SIZE)
        digest = hashlib.sha256(secret).digest()
        self._holders[digest] = holder
        return secret.hex(), digest

    def find(self, text: str) -> Holder | None:
        """The holder of the cookie ``text``, as a client sent it."""
        digest = digest_of(text)
        return None if digest is None else self._holders.get(digest)

    def revoke(self, digest: Digest) -> None:
        self._holders.pop(digest, None)


def digest_of(text: str) -> Digest | None:
    """The digest of what a client sent as cookie; ``None`` for what can be none."""
    if len(text) != COOKIE_LENGTH or not text.isascii():
        return None
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        return None
    # fromhex skips blanks, so that a text of the right length may still hold too few digits.
    return hashlib.sha256(secret).digest() if len(secret) == COOKIE_SIZE else None
