# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords that were right a moment ago, so that a storm of reconnects does not cost a password hash for each client.

A password hash is slow so that whoever steals the database guesses slowly. A client that logs in again within minutes
shows nothing new by it. The memo holds no password and nothing of a wrong one: only a MAC, under a key that this
process drew and keeps in memory, over the stored hash and the password together. A user whose password changes, whose
hash is another then, is unknown to it at once. Who can read this process's memory can test guesses against it, for
users of the last minutes only; that is its price, and ``auth.remember_passwords = 0`` saves it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict

CAPACITY = 16_384  # MACs; the oldest give way, and their users pay for a hash again


class VerifiedPasswordCache:
    """``lifetime`` is seconds from the check of the hash, not from the last use; 0 keeps nothing."""

    def __init__(self, lifetime: float, *, capacity: int = CAPACITY) -> None:
        self._lifetime = lifetime
        self._capacity = capacity
        self._key = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()  # in the order of their ends

    def __len__(self) -> int:
        return len(self._until)

    def knows(self, encoded: str, password: str, now: float) -> bool:
        self._forget_old(now)
        return self._seal(encoded, password) in self._until

    def add(self, encoded: str, password: str, now: float) -> None:
        """Remember that ``password`` was found to be the one of ``encoded``."""
        if self._lifetime <= 0:
            return
        seal = self._seal(encoded, password)
        self._until[seal] = now + self._lifetime
        self._until.move_to_end(seal)
        if len(self._until) > self._capacity:
            self._until.popitem(last=False)

    def _seal(self, encoded: str, password: str) -> bytes:
        stored = encoded.encode()
        text = len(stored).to_bytes(4, "big") + stored + password.encode()
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()

    def _forget_old(self, now: float) -> None:
        while self._until:
            seal, until = next(iter(self._until.items()))
            if now < until:
                return
            del self._until[seal]
