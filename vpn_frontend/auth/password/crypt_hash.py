# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks passwords against crypt(3) hashes, as imported users have them from ``ocpasswd`` or a shadow file.

Only the system's libcrypt knows all of ``$5$``, ``$6$`` and ``$y$``, and Python has no module for it since 3.13. It is
called through ctypes, in the re-entrant form, so threads may share it. DES and ``$1$`` are refused: a graphics card
breaks them within hours.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hmac
import re
from functools import cache

MAX_HASH_CHARACTERS = 256  # the longest, of yescrypt, have about 110
ACCEPTED = re.compile(r"\$(?:5|6|y|gy|2[aby]|7)\$[!-9;-~]+")  # printable without the colon, which separates fields
SIZEOF_CRYPT_DATA = 32_768  # struct crypt_data of libxcrypt; its size is part of the ABI


class CryptUnavailableError(Exception):
    """This system has no libcrypt."""


def is_crypt_hash(password_hash: str) -> bool:
    """True if the text is a hash that ``crypt_matches`` accepts."""
    return len(password_hash) <= MAX_HASH_CHARACTERS and ACCEPTED.fullmatch(password_hash) is not None


def crypt_matches(password: str, password_hash: str) -> bool:
    """True if ``password`` has the hash ``password_hash``. Blocks for the time of a hash: not for the event loop.

    Raises ``CryptUnavailableError``.
    """
    if not is_crypt_hash(password_hash):
        return False
    usable = "\0" not in password  # C reads no further; the hash is made all the same, at the same cost
    password = password.replace("\0", "\1")
    scratch = ctypes.create_string_buffer(SIZEOF_CRYPT_DATA)
    answer: bytes | None = _libcrypt().crypt_r(password.encode(), password_hash.encode(), scratch)
    return answer is not None and hmac.compare_digest(answer, password_hash.encode()) and usable


def make_crypt_hash(password: str, setting: str) -> str:
    """Returns the hash of ``password`` with the method and salt of ``setting``, such as ``$5$salt$``. Blocks.

    Raises ``CryptUnavailableError``, or ``ValueError`` for a password or setting that crypt(3) does not take.
    """
    if "\0" in password:
        raise ValueError("a password holds no NUL")
    scratch = ctypes.create_string_buffer(SIZEOF_CRYPT_DATA)
    answer: bytes | None = _libcrypt().crypt_r(password.encode(), setting.encode(), scratch)
    if answer is None or not is_crypt_hash(answer.decode()):
        raise ValueError("crypt(3) makes no such hash")
    return answer.decode()


@cache
def _libcrypt() -> ctypes.CDLL:
    library = _load()
    library.crypt_r.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p]
    library.crypt_r.restype = ctypes.c_char_p
    return library


def _load() -> ctypes.CDLL:
    """By its name first: ``find_library`` starts other programs, which a confined server must not."""
    try:
        return ctypes.CDLL("libcrypt.so.1")
    except OSError:
        name = ctypes.util.find_library("crypt")
    try:
        return ctypes.CDLL(name or "libcrypt.so.2")
    except OSError as error:
        raise CryptUnavailableError("no libcrypt on this system, which the hashes of imported users need") from error
