# SPDX-License-Identifier: GPL-3.0-or-later
"""Password hashes, argon2id or crypt(3): made, and compared at the same cost for every user and for none."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import TYPE_CHECKING

from argon2 import PasswordHasher, Type
from argon2.exceptions import Argon2Error, InvalidHashError

from vpn_frontend.auth.password.crypt_hash import crypt_matches, is_crypt_hash
from vpn_frontend.auth.password.hash_cost import LANES, MEMORY_KIB, OWN_SCHEME, PASSES, scheme_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID)
# For users without a hash: random salt and output, so that no known password has it, and the start hashes nothing.
_UNKNOWN = "$".join((OWN_SCHEME, *(b64encode(os.urandom(size)).rstrip(b"=").decode() for size in (16, 32))))


def hash_password(password: str) -> str:
    """The argon2id encoding to store. Takes some ten milliseconds of CPU: not for the event loop."""
    return _hasher.hash(password)


def matches(encoded: str | None, password: str, others: Sequence[str] = ()) -> bool:
    """True if ``password`` has the hash ``encoded`` (argon2id or crypt(3)). Blocks.

    ``others`` are hashes of other schemes, one each, which are checked too, without effect. So a check costs the same
    for a user of any scheme and for ``None``, which is never right. A hash that ``scheme_of`` refuses is as ``None``.
    """
    scheme = None if encoded is None else scheme_of(encoded)
    right = False
    for dummy in (_UNKNOWN, *others):
        if scheme_of(dummy) != scheme:
            _matches_one(dummy, password)
    if encoded is not None and scheme is not None:
        right = _matches_one(encoded, password)
    return right


def _matches_one(encoded: str, password: str) -> bool:
    if is_crypt_hash(encoded):
        return crypt_matches(password, encoded)
    try:
        return _hasher.verify(encoded, password)
    except (Argon2Error, InvalidHashError):
        return False
