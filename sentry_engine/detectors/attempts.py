# SPDX-License-Identifier: GPL-3.0-or-later
"""What a detector is shown and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from sentry_engine.geoip.lookup import Place
from sentry_engine.verdict import Reason


class Response(StrEnum):
    """What happens on a suspicion: it is told, or its source is put in the penalty box too, or the login is refused."""

    LOG = "log"
    PENALISE = "penalise"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login that was decided. ``source`` is the packed prefix and length that counts as one source."""

    user: str
    source: tuple[bytes, int]
    now: float  # engine's clock
    success: bool
    place: Place


@dataclass(frozen=True, slots=True)
class Suspicion:
    """``text`` is for the operator; ``penalty`` is seconds, for ``Response.PENALISE``."""

    reason: Reason
    response: Response
    text: str
    penalty: float = 0.0


class Detector(Protocol):
    def observe(self, attempt: Attempt) -> Suspicion | None: ...
