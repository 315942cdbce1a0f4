# SPDX-License-Identifier: GPL-3.0-or-later
"""One-time codes that sign a person in to the console. They live in memory only: a restart ends them."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from admin_api.http.identity import Scope

MAX_CODES = 64  # codes that wait for their use; the oldest is dropped for a new one
LIFETIME = 300.0  # seconds
CODE_BYTES = 18


@dataclass(frozen=True, slots=True)
class Invitation:
    """Who signs in by a code, with which scopes. ``expires``: monotonic seconds."""

    name: str
    scopes: frozenset[Scope]
    expires: float


class OneTimeCodes:
    """Codes by their digest. Each is good for one use within ``LIFETIME``."""

    def __init__(self) -> None:
        self._invitations: dict[bytes, Invitation] = {}

    def create(self, name: str, scopes: frozenset[Scope], now: float) -> str:
        """Returns a new code of 144 random bits, as text."""
        while len(self._invitations) >= MAX_CODES:
            del self._invitations[next(iter(self._invitations))]
        code = secrets.token_urlsafe(CODE_BYTES)
        self._invitations[_digest(code)] = Invitation(name, scopes, now + LIFETIME)
        return code

    def redeem(self, code: str, now: float) -> Invitation | None:
        """Returns what the code stands for and ends it; ``None`` for an unknown, used or expired code."""
        invitation = self._invitations.pop(_digest(code), None)
        return None if invitation is None or invitation.expires <= now else invitation


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()
