# SPDX-License-Identifier: GPL-3.0-or-later
"""Probe of a user's sessions when the limit of clients refuses another login of that user.

A network that fails silently leaves a session that looks connected until dead peer detection ends it, up to twice
``dpd`` later. With one client per user, the user could not log in meanwhile. So each session of the user is probed at
once, and one that does not answer within two seconds is evicted. A session whose client announced a reconnect (a rekey
by a new tunnel, another MTU) gets the same time to come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.sessions.admission import RefusedError
from vpn_frontend.sessions.session import Phase

if TYPE_CHECKING:
    from vpn_frontend.sessions.session import Session

PROBE_TIMEOUT = 2.0  # seconds; more than a satellite's round trip and one retransmission


@dataclass(frozen=True, slots=True)
class LivenessProbe:
    """The probed sessions, each with its ``heard_count`` at the time of the probe, and the monotonic deadline."""

    probed: tuple[tuple[Session, int], ...]
    deadline: float

    def unanswered(self) -> list[Session]:
        """Open sessions not heard since, in the order of login."""
        return [
            session for session, count in self.probed if session.phase is Phase.OPEN and session.heard_count == count
        ]

    def dead(self, now: float) -> list[Session]:
        """Sessions that did not answer before the deadline."""
        return self.unanswered() if now >= self.deadline else []

    def is_decided(self, now: float) -> bool:
        """True if waiting changes nothing: all have answered, or the place of one is free."""
        free = any(session.phase is not Phase.OPEN or session.is_evictable(now) for session, _ in self.probed)
        return free or not self.unanswered()


class ProbePendingError(RefusedError):
    """Refused unless a probed session proves dead. Ask again with ``probe`` once it is decided or timed out."""

    def __init__(self, refused: RefusedError, probe: LivenessProbe) -> None:
        super().__init__(refused.text, refused.reason, refused.retry_after)
        self.probe = probe
