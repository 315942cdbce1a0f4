# SPDX-License-Identifier: GPL-3.0-or-later
"""What passes between the reception and the table of sessions: logins, admissions, and the two kinds of no."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentry_engine import Lease
    from vpn_frontend.ports import UserRecord
    from vpn_frontend.protocol.config_auth import Device
    from vpn_frontend.sessions.session import Session

RETRY_SOON = 5  # seconds, where the reason passes by itself
RETRY_LATEST = 86_400.0  # seconds; what is said of a penalty without end


class CookieError(Exception):
    """The cookie opens no tunnel (any more): the client has to log in again."""


class RefusedError(Exception):
    """No tunnel or login now. ``text`` is for the user, ``reason`` a stable code, ``retry_after`` seconds."""

    def __init__(self, text: str, reason: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.reason = reason
        self.retry_after = RETRY_SOON if retry_after is None else round(max(1.0, min(retry_after, RETRY_LATEST)))


@dataclass(frozen=True, slots=True)
class Login:
    """A user whose password was right."""

    user: UserRecord
    groups: tuple[str, ...]
    device: Device
    user_agent: str


@dataclass(frozen=True, slots=True)
class Admission:
    """A lease taken for a tunnel to come. ``making_room``: gateway sessions that must be gone before ``establish``."""

    session: Session
    lease: Lease
    making_room: frozenset[int]
