# SPDX-License-Identifier: GPL-3.0-or-later
"""All detectors on one stream of attempts. Their memory survives a change of thresholds."""

from __future__ import annotations

from threading import Lock

from sentry_engine.detectors.attempts import Attempt, Detector, Suspicion
from sentry_engine.detectors.location import CountryDetector, Sighting, TravelDetector
from sentry_engine.detectors.password_guessing import SprayDetector, StuffingDetector
from sentry_engine.detectors.thresholds import Thresholds


class DetectorSet:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._spray, self._stuffing = SprayDetector(), StuffingDetector()
        self._country, self._travel = CountryDetector(), TravelDetector()
        self._detectors: tuple[Detector, ...] = (self._spray, self._stuffing, self._country, self._travel)

    def set_thresholds(self, thresholds: Thresholds) -> None:
        with self._lock:
            self._spray.threshold = thresholds.password_spray
            self._stuffing.threshold = thresholds.credential_stuffing
            self._country.threshold = thresholds.new_country
            self._travel.threshold = thresholds.impossible_travel

    def observe(self, attempt: Attempt) -> list[Suspicion]:
        with self._lock:
            return [found for detector in self._detectors if (found := detector.observe(attempt))]

    def learn_countries(self, user: str, countries: frozenset[str]) -> None:
        with self._lock:
            self._country.learn(user, countries)

    def learn_sighting(self, user: str, sighting: Sighting) -> None:
        with self._lock:
            self._travel.learn(user, sighting)

    def locations(self) -> list[tuple[str, frozenset[str], Sighting | None]]:
        """User, known countries and last sighting of every user, least recently seen first."""
        with self._lock:
            users = dict.fromkeys((*self._country.users(), *self._travel.users()))
            return [(user, self._country.countries(user), self._travel.last(user)) for user in users]

    def forget_user(self, user: str) -> None:
        """Delete what is known of a user's locations."""
        with self._lock:
            self._country.forget(user)
            self._travel.forget(user)
