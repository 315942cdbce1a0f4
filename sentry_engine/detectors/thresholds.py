# SPDX-License-Identifier: GPL-3.0-or-later
"""From how much on a detector speaks, and what it does then. Rule files state others under ``detectors``."""

from __future__ import annotations

from dataclasses import dataclass, field

from sentry_engine.detectors.attempts import Response

DETECTOR_PENALTY = 3_600.0  # seconds, for ``Response.PENALISE``


@dataclass(frozen=True, slots=True)
class SprayThreshold:
    """So many users failed from one source and have not succeeded from it since.

    An office of 200 of whom a tenth mistypes and then gets in stays at none; 15 who give up within ten minutes of each
    other do not happen.
    """

    users: int = 15
    window: float = 600.0  # seconds
    response: Response = Response.PENALISE
    penalty: float = DETECTOR_PENALTY  # seconds


@dataclass(frozen=True, slots=True)
class StuffingThreshold:
    """One user failed from so many sources and has not succeeded since.

    Told only, by default: to refuse the user would let anybody lock anybody out, and each source may be somebody's.
    """

    sources: int = 8
    window: float = 3_600.0
    response: Response = Response.LOG
    penalty: float = DETECTOR_PENALTY


@dataclass(frozen=True, slots=True)
class CountryThreshold:
    """A success from a country the user was not seen in, once any country is known of the user."""

    response: Response = Response.LOG
    penalty: float = DETECTOR_PENALTY


@dataclass(frozen=True, slots=True)
class TravelThreshold:
    """Two successes further apart than somebody travels in the time: faster than an airliner, over more than the error
    of the databases, which place a user of a mobile network hundreds of kilometres away.
    """

    kilometres_per_hour: float = 1_000.0
    kilometres: float = 800.0
    response: Response = Response.LOG
    penalty: float = DETECTOR_PENALTY


@dataclass(frozen=True, slots=True)
class Thresholds:
    """``None``: that detector is off. ``stated`` names those that a rule file sets itself."""

    password_spray: SprayThreshold | None = field(default_factory=SprayThreshold)
    credential_stuffing: StuffingThreshold | None = field(default_factory=StuffingThreshold)
    new_country: CountryThreshold | None = field(default_factory=CountryThreshold)
    impossible_travel: TravelThreshold | None = field(default_factory=TravelThreshold)
    stated: frozenset[str] = frozenset()
