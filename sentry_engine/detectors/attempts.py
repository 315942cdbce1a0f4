# SPDX-License-Identifier: GPL-3.0-or-later
"""The input and output of detectors."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from sentry_engine.geoip.lookup import Location
from sentry_engine.records import dataclass
from sentry_engine.verdict import Reason


class Response(StrEnum):
    """The response to a suspicion: log it, also penalise its source, or refuse the login."""

    LOG = "log"
    PENALISE = "penalise"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One decided login. ``source`` is its packed prefix and length."""

    user: str
    source: tuple[bytes, int]
    now: float  # engine's clock
    success: bool
    location: Location


@dataclass(frozen=True, slots=True)
class Suspicion:
    """``text`` is for the operator; ``penalty`` is in seconds, for ``Response.PENALISE``."""

    reason: Reason
    response: Response
    text: str
    penalty: float = 0.0


class Detector(Protocol):
    def observe(self, attempt: Attempt) -> Suspicion | None:
        """Learn from an attempt. Returns a suspicion if it exceeds the threshold."""
