# SPDX-License-Identifier: GPL-3.0-or-later
"""Cache of recently verified passwords: clients that reconnect together do not cost a password hash each.

A password hash is slow to protect a stolen database. A client that logs in again within minutes reveals nothing new.
The cache holds no password, and nothing about a wrong one. It holds a MAC over the stored hash and the password, under
a random key of this process. A changed password has another hash and is unknown at once. An attacker who can read the
memory of this process can test guesses against the cache, for users of the last minutes. ``auth.remember_passwords =
0`` avoids that.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict

CAPACITY = 16_384  # MACs; the oldest is evicted, and its user costs a hash again


class VerifiedPasswordCache:
    """``lifetime`` is in seconds from the verification, not from the last use; 0 keeps nothing."""

    def __init__(self, lifetime: float, *, capacity: int = CAPACITY) -> None:
        self._lifetime = lifetime
        self._capacity = capacity
        self._keyed = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=32)
        self._until: OrderedDict[bytes, float] = OrderedDict()  # earliest end first

    def __len__(self) -> int:
        return len(self._until)

    def has(self, encoded: str, password: str, now: float) -> bool:
        """True if ``password`` was verified against the hash ``encoded`` within the lifetime."""
        self._drop_expired(now)
        return self._mac(encoded, password) in self._until

    def add(self, encoded: str, password: str, now: float) -> None:
        """Remember that ``password`` was verified against the hash ``encoded``."""
        if self._lifetime <= 0:
            return
        mac = self._mac(encoded, password)
        self._until[mac] = now + self._lifetime
        self._until.move_to_end(mac)
        if len(self._until) > self._capacity:
            self._until.popitem(last=False)

    def key_of_login(self, name: str | None, encoded: str | None, password: str) -> bytes:
        """A MAC over all three. Empty without a name, and if nothing is kept.

        A login of an unknown user has one, too: otherwise two at once would take as long as two hashes, and those of
        a known user as long as one.
        """
        if self._lifetime <= 0 or name is None:
            return b""
        user = name.encode()
        mac = self._keyed.copy()
        mac.update(len(user).to_bytes(4, "big") + user + self._mac(encoded or "", password))
        return mac.digest()

    def _mac(self, encoded: str, password: str) -> bytes:
        stored = encoded.encode()
        mac = self._keyed.copy()
        mac.update(len(stored).to_bytes(4, "big") + stored + password.encode())
        return mac.digest()

    def _drop_expired(self, now: float) -> None:
        while self._until:
            mac, until = next(iter(self._until.items()))
            if now < until:
                return
            del self._until[mac]
