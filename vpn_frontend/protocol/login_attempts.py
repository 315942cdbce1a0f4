# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins under way: how often each has failed so far.

A login goes over several connections, so its state hangs on a cookie. It begins with the first failure: asking for the
form costs the server no memory, however often a stranger asks. A client without the cookie begins anew, which gains it
nothing: what it may try is counted by source in the policy engine, this only ends one dialogue with a user.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict

MAX_LOGINS = 4096  # at a time; the oldest is forgotten for a new one, and its next failure counts as its first
CONTEXT_SIZE = 16  # bytes of the cookie's random value


class LoginAttempts:
    """Failures by context, each for ``timeout`` seconds from its first."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._logins: OrderedDict[str, tuple[float, int]] = OrderedDict()  # context: begun at, failures

    def __len__(self) -> int:
        return len(self._logins)

    def fail(self, context: str, now: float) -> tuple[str, int]:
        """Count a failure of the login ``context``, a new one if it is unknown or too old; its context and failures."""
        began, failures = self._logins.get(context, (now, 0))
        if now - began >= self._timeout:
            self.end(context)
            failures = 0
        if failures == 0:
            self._expire(now)
            context, began = secrets.token_hex(CONTEXT_SIZE), now
        self._logins[context] = (began, failures + 1)
        return context, failures + 1

    def end(self, context: str) -> None:
        self._logins.pop(context, None)

    def _expire(self, now: float) -> None:
        """Make room: entries are in the order of their beginning, so only the front is looked at."""
        while self._logins:
            began, _ = next(iter(self._logins.values()))
            if now - began < self._timeout and len(self._logins) < MAX_LOGINS:
                return
            self._logins.popitem(last=False)
