# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed logins by source and user, which a later success of the same user from the same source pays back.

A success proves that its user knows one password, and says nothing of the failures of others. With one account of
their own, attackers would else pay back their guesses at every other account.
"""

from __future__ import annotations

from collections import deque
from threading import Lock

from sentry_engine.detectors.recent_keys import RecentlyUsed

MAX_SOURCES = 16_384  # with failures; when full, the least recently failing one is forgotten, and its failures stay
MAX_USERS = 1_024  # per source; failures of further users are not noted, and stay
MAX_FAILURES = 64  # noted per user and source

Users = dict[str, deque[float]]  # times of failures by user, oldest first
Key = tuple[bytes, int]  # a source


class UnpaidFailures:
    """Thread-safe. Times are in the engine's clock. Not saved: failures before a restart are not paid back."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_source: RecentlyUsed[Key, Users] = RecentlyUsed(MAX_SOURCES)

    def note(self, source: Key, user: str, now: float) -> None:
        """Note a failure that was counted."""
        with self._lock:
            users = self._by_source.get(source) or {}
            if user not in users and len(users) >= MAX_USERS:
                return
            users.setdefault(user, deque(maxlen=MAX_FAILURES)).append(now)
            self._by_source.put(source, users)

    def take(self, source: Key, user: str, points: int, since: float) -> int:
        """Take up to ``points`` failures of ``user`` after ``since``, the newest first. Returns their number."""
        if not self._by_source:
            return 0
        with self._lock:
            users = self._by_source.get(source)
            failures = users.get(user) if users else None
            if users is None or failures is None:
                return 0
            while failures and failures[0] <= since:
                failures.popleft()
            taken = min(points, len(failures))
            for _ in range(taken):
                failures.pop()
            if not failures:
                del users[user]
            if not users:
                self._by_source.forget(source)
            return taken

    def forget(self, source: Key) -> None:
        """Forget the failures of a source whose window was cleared."""
        with self._lock:
            self._by_source.forget(source)
