# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords: argon2id, checked in a bounded pool of threads.

A check costs the same whether the user exists or not. More checks than the machine can do are refused at once and in
words, because a queue of logins that all time out helps nobody (and is what a password spray wants).
"""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from argon2 import PasswordHasher, Type
from argon2.exceptions import Argon2Error, InvalidHashError

from vpn_frontend.auth.crypt_hash import crypt_matches, is_crypt_hash
from vpn_frontend.auth.verified_password_cache import VerifiedPasswordCache

if TYPE_CHECKING:
    from collections.abc import Callable

# The first recommendation of OWASP's password storage cheat sheet below the profiles of RFC 9106 section 4, which take
# 64 MB and about 0.1 s of a core for each login: too much for a server that also carries tunnels.
MEMORY_KIB = 19_456
PASSES = 2
LANES = 1
MAX_WAITING = 64  # checks under way or in the queue; about two seconds of two cores
DEADLINE = 10.0  # seconds from the question to its answer


class OverloadError(Exception):
    """No check can be made now; asking again in a few seconds may help."""


_hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID)
_UNKNOWN = _hasher.hash(os.urandom(32))  # nobody's password, for the users that do not exist


def hash_password(password: str) -> str:
    """The encoding to store. Takes some ten milliseconds of CPU: not for the event loop."""
    return _hasher.hash(password)


def matches(encoded: str | None, password: str) -> bool:
    """Whether ``password`` is the one of ``encoded``; ``None`` costs the same and is never right. Blocks.

    An encoding that is damaged is nobody's password. Imported users may still have a hash of crypt(3).
    """
    if encoded is not None and is_crypt_hash(encoded):
        return crypt_matches(password, encoded)
    try:
        _hasher.verify(_UNKNOWN if encoded is None else encoded, password)
    except InvalidHashError:
        matches(None, password)
        return False
    except Argon2Error:
        return False
    return encoded is not None


class PasswordChecker:
    """The pool. ``close`` it after the last check. ``remember``: seconds that a right password needs no other hash."""

    def __init__(
        self,
        *,
        threads: int | None = None,
        max_waiting: int = MAX_WAITING,
        deadline: float = DEADLINE,
        remember: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="password")
        self._max_waiting = max_waiting
        self._deadline = deadline
        self._waiting = 0
        self._verified = VerifiedPasswordCache(remember)
        self._clock = clock

    def knows(self, encoded: str, password: str) -> bool:
        """Whether ``password`` was found right a moment ago, so that ``check`` would not wait."""
        return self._verified.knows(encoded, password, self._clock())

    async def check(self, encoded: str | None, password: str) -> bool:
        """``matches`` off the loop. Raises ``OverloadError`` when there is no room, or no answer in time."""
        if encoded is not None and self.knows(encoded, password):
            return True
        if self._waiting >= self._max_waiting:
            raise OverloadError
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, matches, encoded, password)
        # Room is made when the thread is done with it, not when the one who asked has lost patience.
        future.add_done_callback(self._made_room)
        try:
            right = await asyncio.wait_for(asyncio.shield(future), self._deadline)
        except TimeoutError:
            raise OverloadError from None
        if right and encoded is not None:
            self._verified.add(encoded, password, self._clock())
        return right

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _made_room(self, future: asyncio.Future[bool]) -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # seen, whoever asked
