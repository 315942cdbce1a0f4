# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords: argon2id or crypt(3) hashes, checked in a bounded pool of threads.

A check costs the same whether the user exists or not. Checks beyond the bound are refused at once with a text: a queue
of logins that all time out serves only a password spray.
"""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from argon2 import PasswordHasher, Type
from argon2.exceptions import Argon2Error, InvalidHashError

from vpn_frontend.auth.crypt_hash import crypt_matches, is_crypt_hash
from vpn_frontend.auth.result import WRONG, Accepted, Pending, Refused, Unavailable
from vpn_frontend.auth.verified_password_cache import VerifiedPasswordCache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vpn_frontend.auth.method import LoginRequest
    from vpn_frontend.auth.result import Outcome
    from vpn_frontend.ports import UserDirectory

# The first recommendation of OWASP's password storage cheat sheet below the profiles of RFC 9106 section 4. Those take
# 64 MB and about 0.1 s of a core for each login: too much for a server that also carries tunnels.
MEMORY_KIB = 19_456
PASSES = 2
LANES = 1
MAX_WAITING = 64  # checks in the pool or its queue; about two seconds of two cores
DEADLINE = 10.0  # seconds for one check
DIRECTORY_DEADLINE = 5.0  # seconds for one look-up


class OverloadError(Exception):
    """No check can be made now. Another try in a few seconds may succeed."""


_hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID)
_UNKNOWN = _hasher.hash(os.urandom(32))  # of a random password, for users without a hash


def hash_password(password: str) -> str:
    """The argon2id encoding to store. Takes some ten milliseconds of CPU: not for the event loop."""
    return _hasher.hash(password)


def matches(encoded: str | None, password: str) -> bool:
    """True if ``password`` has the hash ``encoded`` (argon2id or crypt(3)). Blocks.

    ``None`` is never right and costs the same as a wrong password. A damaged encoding is never right either.
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
    """The pool. ``close`` it after the last check.

    ``remember``: seconds for which a verified password needs no second hash; 0: none.
    """

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

    def is_verified(self, encoded: str, password: str) -> bool:
        """True if ``password`` was verified recently, so that ``check`` would not wait."""
        return self._verified.has(encoded, password, self._clock())

    async def check(self, encoded: str | None, password: str) -> bool:
        """``matches`` in a thread. Raises ``OverloadError`` without a free place, or without a result in time."""
        if encoded is not None and self.is_verified(encoded, password):
            return True
        if self._waiting >= self._max_waiting:
            raise OverloadError
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, matches, encoded, password)
        # The place is free when the thread has finished, not when the caller has given up.
        future.add_done_callback(self._free_place)
        try:
            right = await asyncio.wait_for(asyncio.shield(future), self._deadline)
        except TimeoutError:
            raise OverloadError from None
        if right and encoded is not None:
            self._verified.add(encoded, password, self._clock())
        return right

    def close(self) -> None:
        """Wait for the running checks and drop the queued ones."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _free_place(self, future: asyncio.Future[bool]) -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # marks it as retrieved


class PasswordMethod:
    """The password of the user directory. A user without a hash is refused like one with a wrong password."""

    name = "password"
    backend = "directory"

    def __init__(self, users: UserDirectory, passwords: PasswordChecker) -> None:
        self._users = users
        self._passwords = passwords

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        """A known user with a verified password is accepted at once."""
        user = self._users.recall(login.username)
        encoded = None if user is None else user.password_hash
        if user is not None and encoded is not None and self._passwords.is_verified(encoded, login.password):
            return Accepted(user, user.groups)
        return Pending(partial(self._check, login))

    def answer(self, state: object, fields: Mapping[str, str]) -> Outcome | Pending:  # noqa: ARG002 - of the interface
        """Raises ``TypeError``: this method has no challenge."""
        raise TypeError("a reply to a password without a challenge")

    async def _check(self, login: LoginRequest) -> Outcome:
        async with asyncio.timeout(DIRECTORY_DEADLINE):
            user = await self._users.find(login.username)
        try:
            right = await self._passwords.check(None if user is None else user.password_hash, login.password)
        except OverloadError:
            return Unavailable("Too many logins at the moment. Please try again in a few seconds.")
        return Accepted(user, user.groups) if user is not None and right else Refused(WRONG, "wrong_password")
