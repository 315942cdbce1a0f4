# SPDX-License-Identifier: GPL-3.0-or-later
"""Session cookies of a fleet: any node that has the keys reads from them who logged in, without a store.

A cookie is ``base64url(version | kid | salt | AES-256-GCM(login))`` without padding. Its key is derived for it alone by
HKDF-SHA-256 (RFC 5869) from the master key ``kid`` and the random salt, so no nonce repeats and the nonce may be 0.
Version, kid and salt are authenticated with the login. A cookie proves a login and opens nothing by itself: the tunnel
needs the answer of the fleet's admission, which knows what was revoked.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import struct
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1
KEY_SIZE = 32  # bytes of a master key
ID_SIZE = 16  # bytes of a session's id
MAX_KID = 255
MAX_KEYS = 64  # of a ring: a new one each day, kept for the longest session
_SALT_SIZE = 16
_TAG_SIZE = 16
_NONCE = bytes(12)
_INFO = b"ocsentry session cookie v1"
_HEAD = struct.Struct("!BB16s")
_FIXED = struct.Struct("!16sQQ")
_MAX_TEXT = 255  # bytes of each text in UTF-8: its length is one byte
_TEXTS = 3
MIN_SIZE = _HEAD.size + _FIXED.size + _TEXTS + _TAG_SIZE  # bytes before base64
MAX_SIZE = MIN_SIZE + _TEXTS * _MAX_TEXT


class SealError(ValueError):
    """The login does not fit into a cookie, or there is no key to seal it with."""


@dataclass(frozen=True, slots=True)
class SealedLogin:
    """What a cookie says. Times are Unix seconds; ``hard_end`` 0: the session has no end of its own."""

    session: bytes  # the id, 16 bytes
    logged_in_at: int
    hard_end: int
    user: str
    group: str = ""  # the one chosen at the login
    host: str = ""  # the virtual host


class KeyRing:
    """The master keys of a fleet by their id (``kid``). Any of them opens, ``current`` seals."""

    def __init__(self, keys: Mapping[int, bytes], current: int) -> None:
        """Raises ``SealError`` for keys of another size, too many, or a ``current`` that is not among them."""
        self._keys: dict[int, bytes] = {}
        self.current = current
        self.replace(keys, current)

    @property
    def kids(self) -> frozenset[int]:
        return frozenset(self._keys)

    def replace(self, keys: Mapping[int, bytes], current: int) -> None:
        """Use these keys from now on. Cookies of a key that is not among them open nothing any more.

        Raises ``SealError``, then the earlier keys stay.
        """
        if current not in keys:
            raise SealError(f"there is no key {current} to seal with")
        if len(keys) > MAX_KEYS:
            raise SealError(f"{len(keys)} keys are more than {MAX_KEYS}")
        for kid, key in keys.items():
            if not 0 <= kid <= MAX_KID or len(key) != KEY_SIZE:
                raise SealError(f"key {kid} is no id up to {MAX_KID} with {KEY_SIZE} bytes")
        self._keys, self.current = dict(keys), current

    def retire(self, kid: int) -> None:
        """Forget a key. Raises ``SealError`` for the current one."""
        if kid == self.current:
            raise SealError(f"key {kid} seals new cookies")
        self._keys.pop(kid, None)

    def seal(self, login: SealedLogin) -> str:
        """Returns the text for the client, at most ``text_length(MAX_SIZE)`` characters. Raises ``SealError``."""
        texts = [text.encode() for text in (login.user, login.group, login.host)]
        if len(login.session) != ID_SIZE or any(len(text) > _MAX_TEXT for text in texts):
            raise SealError("the names of user, group and host, or the session's id, do not fit into a cookie")
        try:
            fixed = _FIXED.pack(login.session, login.logged_in_at, login.hard_end)
        except struct.error as error:
            raise SealError(f"a time does not fit into a cookie: {error}") from error
        body = fixed + b"".join(bytes((len(text),)) + text for text in texts)
        head = _HEAD.pack(VERSION, self.current, secrets.token_bytes(_SALT_SIZE))
        sealed = _cipher(self._keys[self.current], head).encrypt(_NONCE, body, head)
        return base64.urlsafe_b64encode(head + sealed).rstrip(b"=").decode()

    def open(self, text: str) -> SealedLogin | None:
        """What the cookie says. ``None``: it is none that a key of this ring has sealed."""
        raw = decode(text)
        if raw is None:
            return None
        head = raw[: _HEAD.size]
        key = self._keys.get(head[1])
        if key is None:
            return None
        try:
            return _read(_cipher(key, head).decrypt(_NONCE, raw[_HEAD.size :], head))
        except (InvalidTag, ValueError, IndexError, struct.error):
            return None


def text_length(size: int) -> int:
    """Characters of ``size`` bytes in base64 without padding."""
    return (size * 4 + 2) // 3


def decode(text: str) -> bytes | None:
    """The bytes of a text that may be a sealed cookie. ``None``: it cannot be one. Nothing is authenticated here."""
    if not text_length(MIN_SIZE) <= len(text) <= text_length(MAX_SIZE) or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    # Bits behind the last byte, padding of the client's own and the other alphabet would be second spellings.
    same = base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == text
    return raw if same and raw[0] == VERSION else None


def _cipher(master: bytes, head: bytes) -> AESGCM:
    salt = head[-_SALT_SIZE:]
    return AESGCM(HKDF(SHA256(), KEY_SIZE, salt, _INFO).derive(master))


def _read(body: bytes) -> SealedLogin:
    session, logged_in_at, hard_end = _FIXED.unpack_from(body)
    texts, at = list[str](), _FIXED.size
    for _ in range(_TEXTS):
        end = at + 1 + body[at]
        texts.append(body[at + 1 : end].decode())
        at = end
    if at != len(body):
        raise ValueError("the lengths of the texts are not those of the cookie")
    return SealedLogin(session, logged_in_at, hard_end, *texts)
