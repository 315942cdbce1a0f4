# SPDX-License-Identifier: GPL-3.0-or-later
"""Thresholds of the detectors and their responses. Rule files override them under ``detectors``."""

from __future__ import annotations

from dataclasses import field

from sentry_engine.detectors.attempts import Response
from sentry_engine.records import dataclass

DETECTOR_PENALTY = 3_600.0  # seconds, for ``Response.PENALISE``


@dataclass(frozen=True, slots=True)
class SprayThreshold:
    """Number of users that failed from one source without a later success from it.

    In an office of 200, users who mistype and then log in count zero; 15 that give up within ten minutes are an attack.
    """

    users: int = 15
    window: float = 600.0  # seconds
    response: Response = Response.PENALISE
    penalty: float = DETECTOR_PENALTY  # seconds


@dataclass(frozen=True, slots=True)
class StuffingThreshold:
    """Number of sources from which one user failed without a later success.

    Logged only by default: refusing the user would let an attacker lock users out, and a source may be shared.
    """

    sources: int = 8
    window: float = 3_600.0
    response: Response = Response.LOG
    penalty: float = DETECTOR_PENALTY


@dataclass(frozen=True, slots=True)
class CountryThreshold:
    """A success from a country that is new for the user, once one is known."""

    response: Response = Response.LOG
    penalty: float = DETECTOR_PENALTY


@dataclass(frozen=True, slots=True)
class TravelThreshold:
    """Two successes too far apart for the time between: faster than an airliner, and beyond the database error.

    Databases locate users of mobile networks up to hundreds of kilometres away.
    """

    kilometres_per_hour: float = 1_000.0
    kilometres: float = 800.0
    response: Response = Response.LOG
    penalty: float = DETECTOR_PENALTY


@dataclass(frozen=True, slots=True)
class Thresholds:
    """``None`` disables a detector. ``stated`` names those that a rule file sets."""

    password_spray: SprayThreshold | None = field(default_factory=SprayThreshold)
    credential_stuffing: StuffingThreshold | None = field(default_factory=StuffingThreshold)
    new_country: CountryThreshold | None = field(default_factory=CountryThreshold)
    impossible_travel: TravelThreshold | None = field(default_factory=TravelThreshold)
    stated: frozenset[str] = frozenset()
