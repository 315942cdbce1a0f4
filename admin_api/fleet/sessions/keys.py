# SPDX-License-Identifier: GPL-3.0-or-later
"""Master keys of the fleet's cookies: one for each day, derived from the fleet's secret alone.

No table and no message is needed: each node has the keys of all days, also while the database is away. Cookies are
accepted from a day ahead, for clocks that differ, to ``DAYS`` back. Another secret ends all cookies: that is the answer
to one that has leaked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vpn_frontend.sessions.sealed_cookies import KEY_SIZE, MAX_KID, KeyRing

if TYPE_CHECKING:
    from datetime import datetime

DAYS = 40  # that a cookie may be old: longer than any session that clients keep
SECONDS_PER_DAY = 86_400
INFO = b"ocsentry fleet cookie key"


def keys_of(secret: bytes, day: int) -> tuple[dict[int, bytes], int]:
    """The keys in use on a day since 1970, by id, and the id of the one that seals."""
    days = range(day - DAYS, day + 2)
    return {_kid(one): _derive(secret, one) for one in days}, _kid(day)


def day_of(moment: datetime) -> int:
    return int(moment.timestamp()) // SECONDS_PER_DAY


def make_ring(secret: bytes, moment: datetime) -> KeyRing:
    return KeyRing(*keys_of(secret, day_of(moment)))


def renew_ring(ring: KeyRing, secret: bytes, moment: datetime) -> None:
    """To be called at least once a day."""
    keys, current = keys_of(secret, day_of(moment))
    if current != ring.current:
        ring.replace(keys, current)


def _kid(day: int) -> int:
    return day % (MAX_KID + 1)


def _derive(secret: bytes, day: int) -> bytes:
    return HKDF(SHA256(), KEY_SIZE, None, INFO + day.to_bytes(8, "big")).derive(secret)
