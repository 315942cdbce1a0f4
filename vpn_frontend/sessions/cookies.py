# SPDX-License-Identifier: GPL-3.0-or-later
"""Session cookies: 256 random bits for the client, of which the server keeps only a SHA-256 digest.

The owner of a cookie decides how long it lives. The length is checked before a byte is decoded. Look-up goes by digest,
so its timing tells nothing about a cookie, and a copy of the server's memory opens no tunnel. The cookies of a fleet
are sealed instead (``sealed_cookies``); of them too only the digest is kept.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Generic, TypeVar

from vpn_frontend.sessions.sealed_cookies import decode as decode_sealed

if TYPE_CHECKING:
    from collections.abc import Callable

HolderT = TypeVar("HolderT")
COOKIE_SIZE = 32  # bytes
COOKIE_LENGTH = 2 * COOKIE_SIZE  # characters of its hex form
DIGEST_SIZE = hashlib.sha256().digest_size  # bytes
Digest = bytes


class CookieJar(Generic[HolderT]):
    """Holders by the digest of their cookie."""

    def __init__(self, seal: Callable[[HolderT], str] | None = None) -> None:
        """``seal`` makes the cookies of a fleet."""
        self._seal = seal
        self._holders: dict[Digest, HolderT] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def issue(self, holder: HolderT) -> tuple[str, Digest]:
        """A new cookie for ``holder``. Returns the text for the client and the digest to revoke it by."""
        if self._seal is not None:
            text = self._seal(holder)
            digest = digest_of(text)
            if digest is None:
                raise ValueError("the sealed text is no cookie")
            self._holders[digest] = holder
            return text, digest
        secret = secrets.token_bytes(COOKIE_SIZE)
        digest = hashlib.sha256(secret).digest()
        self._holders[digest] = holder
        return secret.hex(), digest

    def restore(self, digest: Digest, holder: HolderT) -> None:
        """Accept a cookie that was revoked, for ``holder``."""
        self._holders[digest] = holder

    def find(self, text: str) -> HolderT | None:
        """The holder of a cookie as a client sent it."""
        digest = digest_of(text)
        return None if digest is None else self._holders.get(digest)

    def revoke(self, digest: Digest) -> None:
        self._holders.pop(digest, None)


def digest_of(text: str) -> Digest | None:
    """The digest of a cookie as a client sent it. ``None`` if the text cannot be a cookie."""
    if len(text) != COOKIE_LENGTH or not text.isascii():
        sealed = decode_sealed(text)
        return None if sealed is None else hashlib.sha256(sealed).digest()
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        return None
    # fromhex skips blanks, so a text of the right length may hold too few digits.
    return hashlib.sha256(secret).digest() if len(secret) == COOKIE_SIZE else None
