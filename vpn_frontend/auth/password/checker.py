# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks passwords in a bounded pool of threads.

A check costs the same whether the user exists or not. Checks beyond the bound are refused at once with a text: a queue
of logins that all time out serves only a password spray. Sources that have guessed lately, or have checks in the queue,
come last and leave first (``SourceStanding``), so guesses from many addresses hold up their own. Logins with one name
and one password that come together share a check, if verified passwords are remembered at all.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from contextlib import suppress
from dataclasses import field
from threading import Thread
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.auth.password.check_queue import CheckQueue
from vpn_frontend.auth.password.hash_cost import OWN_SCHEME, scheme_of
from vpn_frontend.auth.password.hashes import matches
from vpn_frontend.auth.password.source_standing import SourceStanding, source_key
from vpn_frontend.auth.password.verified_password_cache import VerifiedPasswordCache
from vpn_frontend.auth.result import OverloadError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vpn_frontend.settings import Address

MAX_SCHEMES = 4  # of imported hashes whose cost every check has; users of further ones can be told by the time
MAX_WAITING = 64  # checks in the pool or its queue; about two seconds of two cores
DEADLINE = 10.0  # seconds for one check


@dataclass(slots=True)
class _Check:
    """One check in the queue, for one login or more. The thread drops the password when it has taken it."""

    key: bytes  # of name, hash and password; empty: is not shared
    rank: tuple[int, bool]
    encoded: str | None
    password: str = field(repr=False)
    others: tuple[str, ...]
    source: Address | None
    answers: list[asyncio.Future[bool]]  # one for each login; all are of one event loop

    @property
    def is_wanted(self) -> bool:
        """False once all callers have given up, and from then on. Any thread may ask."""
        return not all(answer.done() for answer in self.answers)


class PasswordChecker:
    """Threads that check passwords, and their queue. ``close`` it after the last check.

    ``remember``: seconds for which a verified password needs no second hash; 0: none. The threads are daemons: neither
    ``close`` nor the end of the process waits for a hash.
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
        self._threads = threads or os.cpu_count() or 1
        self._running = 0
        self._closed = False
        self._queue: CheckQueue[_Check] = CheckQueue()
        self._standing = SourceStanding()
        self._under_way: Counter[bytes] = Counter()  # checks by source
        self._shared: dict[bytes, _Check] = {}  # checks that are not finished, by their key
        self._max_waiting = max_waiting
        self._deadline = deadline
        self._waiting = 0
        self._verified = VerifiedPasswordCache(remember)
        self._clock = clock
        self._samples: dict[str, str] = {}  # by scheme: some hash of that scheme

    def learn(self, encoded: str) -> None:
        """Users with hashes like ``encoded`` exist: from now on every check costs as much as theirs, too."""
        scheme = scheme_of(encoded)
        if scheme is not None and scheme != OWN_SCHEME and len(self._samples) < MAX_SCHEMES:
            self._samples.setdefault(scheme, encoded)

    def is_verified(self, encoded: str, password: str) -> bool:
        """True if ``password`` was verified recently, so that ``check`` would not wait."""
        return self._verified.has(encoded, password, self._clock())

    async def check(
        self, encoded: str | None, password: str, source: Address | None = None, name: str | None = None
    ) -> bool:
        """``matches`` in a thread. Raises ``OverloadError`` without a free place, or without a result in time.

        ``source``: who asks; ``None`` is like one that is seen for the first time. ``name``: the user, known or not;
        ``None``: the check is not shared with others.
        """
        if encoded is not None:
            if self.is_verified(encoded, password):
                return True
            self.learn(encoded)
        if self._closed:
            raise OverloadError
        self._start_threads()
        rank, key = self._rank(source), self._verified.key_of_login(name, encoded, password)
        check = self._shared.get(key)
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        # One of a source with a lower standing comes later, and may be displaced.
        if check is None or rank < check.rank or not check.is_wanted:
            self._begin(_Check(key, rank, encoded, password, tuple(self._samples.values()), source, [answer]))
        else:
            check.answers.append(answer)  # as many as there are connections, at most
        try:
            # The place is free when a thread has finished or skipped the check, not when the caller has given up.
            async with asyncio.timeout(self._deadline):
                right = await answer
        except TimeoutError:
            raise OverloadError from None
        if source is not None:
            self._standing.note(source, right=right, now=self._clock())
        if right and encoded is not None:
            self._verified.add(encoded, password, self._clock())
        return right

    def _begin(self, check: _Check) -> None:
        """Raises ``OverloadError`` if there is no place."""
        self._make_room(check.rank)
        self._count(check, 1)
        if check.key:
            self._shared[check.key] = check
        self._queue.put(check.rank, check)

    def close(self) -> None:
        """Drop the queued checks. Checks that run are left to themselves: their results are not awaited."""
        self._closed = True
        self._queue.close()

    def _rank(self, source: Address | None) -> tuple[int, bool]:
        if source is None:
            return 0, True
        failures, unknown = self._standing.rank(source, self._clock())
        return failures + self._under_way[source_key(source)], unknown

    def _make_room(self, rank: tuple[int, bool]) -> None:
        """Raises ``OverloadError`` if all places are taken by checks that are before ``rank``."""
        if self._waiting < self._max_waiting:
            return
        displaced = self._queue.displace(rank)
        if displaced is None:
            raise OverloadError
        self._finish(displaced, OverloadError())

    def _count(self, check: _Check, change: int) -> None:
        self._waiting += change
        if check.source is not None:
            key = source_key(check.source)
            self._under_way[key] += change
            if not self._under_way[key]:
                del self._under_way[key]

    def _start_threads(self) -> None:
        """Raises ``OSError`` if there is none, and the system starts none; the next check tries again."""
        while self._running < self._threads:
            try:
                Thread(target=self._run, name=f"password_{self._running}", daemon=True).start()
            except RuntimeError as error:
                if self._running:
                    return
                raise OSError(0, "no thread can be started to check passwords") from error
            self._running += 1

    def _run(self) -> None:
        while (check := self._queue.take()) is not None:
            right: bool | Exception = False
            if not self._closed and check.is_wanted:
                password, check.password = check.password, ""
                try:
                    right = matches(check.encoded, password, check.others)
                except Exception as error:  # noqa: BLE001 - the caller is told
                    right = error
                del password
            with suppress(RuntimeError):  # the loop is closed
                check.answers[0].get_loop().call_soon_threadsafe(self._finish, check, right)
            del check

    def _finish(self, check: _Check, right: bool | Exception) -> None:
        self._count(check, -1)
        if self._shared.get(check.key) is check:
            del self._shared[check.key]
        for answer in check.answers:
            if answer.done():
                continue  # its caller has given up
            if isinstance(right, Exception):
                answer.set_exception(right)
            elif self._closed:
                answer.cancel()
            else:
                answer.set_result(right)
