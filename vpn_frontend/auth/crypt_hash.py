# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks passwords against crypt(3) hashes, as users bring them from ocserv's ``ocpasswd`` or from a shadow file.

Only the system's libcrypt knows all of ``$5$``, ``$6$`` and ``$y$``, and Python has no module for it any more: it is
called through ctypes, in the re-entrant form, so that threads may share it. The kinds that a graphics card breaks in
an afternoon (DES, ``$1$``) are refused.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hmac
import re
from functools import cache

MAX_HASH_CHARACTERS = 256  # yescrypt's, the longest, take about 110
ACCEPTED = re.compile(r"\$(?:5|6|y|gy|2[aby]|7)\$[!-9;-~]+")  # printable, and no colon: it divides fields in such files
SIZEOF_CRYPT_DATA = 32_768  # struct crypt_data of libxcrypt, whose size is part of its ABI


class CryptUnavailableError(Exception):
    """This system has no libcrypt."""


def is_crypt_hash(password_hash: str) -> bool:
    """Whether the text is a hash of a kind that ``crypt_matches`` takes."""
    return len(password_hash) <= MAX_HASH_CHARACTERS and ACCEPTED.fullmatch(password_hash) is not None


def crypt_matches(password: str, password_hash: str) -> bool:
    """Whether ``password`` has ``password_hash``. Slow on purpose: for a thread, not for an event loop.

    Raises ``CryptUnavailableError``.
    """
    if not is_crypt_hash(password_hash) or "\0" in password:
        return False
    scratch = ctypes.create_string_buffer(SIZEOF_CRYPT_DATA)
    answer: bytes | None = _libcrypt().crypt_r(password.encode(), password_hash.encode(), scratch)
    return answer is not None and hmac.compare_digest(answer, password_hash.encode())


@cache
def _libcrypt() -> ctypes.CDLL:
    name = ctypes.util.find_library("crypt") or "libcrypt.so.1"
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        raise CryptUnavailableError("no libcrypt here, which knows the hashes of imported users") from error
    library.crypt_r.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p]
    library.crypt_r.restype = ctypes.c_char_p
    return library
