# SPDX-License-Identifier: GPL-3.0-or-later
"""All detectors on one stream of attempts. Their memory survives a change of thresholds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice
from threading import Lock

from sentry_engine.detectors.attempts import Attempt, Detector, Suspicion
from sentry_engine.detectors.location import CountryDetector, Sighting, TravelDetector
from sentry_engine.detectors.password_guessing import SprayDetector, StuffingDetector
from sentry_engine.detectors.thresholds import Thresholds

MAX_CHANGED = 32_768  # users that are noted one by one
USERS_AT_A_TIME = 1_024  # listed while logins wait: a millisecond


class DetectorSet:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._spray, self._stuffing = SprayDetector(), StuffingDetector()
        self._changed: set[str] = set()
        self._country, self._travel = CountryDetector(self._note_change), TravelDetector(self._note_change)
        self._detectors: tuple[Detector, ...] = (self._spray, self._stuffing, self._country, self._travel)

    def set_thresholds(self, thresholds: Thresholds) -> None:
        with self._lock:
            self._spray.threshold = thresholds.password_spray
            self._stuffing.threshold = thresholds.credential_stuffing
            self._country.threshold = thresholds.new_country
            self._travel.threshold = thresholds.impossible_travel

    def observe(self, attempt: Attempt) -> list[Suspicion]:
        with self._lock:
            if attempt.success:
                self._note_change(attempt.user)
            return [found for detector in self._detectors if (found := detector.observe(attempt))]

    def learn_countries(self, user: str, countries: frozenset[str]) -> None:
        with self._lock:
            self._note_change(user)
            self._country.learn(user, countries)

    def learn_sighting(self, user: str, sighting: Sighting) -> None:
        with self._lock:
            self._note_change(user)
            self._travel.learn(user, sighting)

    def locations(self) -> list[tuple[str, frozenset[str], Sighting | None]]:
        """User, known countries and last sighting of every user, least recently seen first."""
        found = chain.from_iterable(self.locations_of(self.users()))
        return [known for known in found if known[1] or known[2]]

    def users(self) -> Collection[str]:
        """The users of whom a location is known, least recently seen first."""
        with self._lock:
            return dict.fromkeys((*self._country.users(), *self._travel.users()))

    def locations_of(self, users: Iterable[str]) -> Iterator[list[tuple[str, frozenset[str], Sighting | None]]]:
        """As ``locations``, also of users of whom nothing is known. In parts, between which logins go on."""
        rest = iter(users)
        while some := list(islice(rest, USERS_AT_A_TIME)):
            with self._lock:
                part = [(user, self._country.countries(user), self._travel.last(user)) for user in some]
            yield part

    def take_changed(self) -> set[str] | None:
        """The users whose location was learned, seen or forgotten since the last call.

        ``None``: more than ``MAX_CHANGED`` of them.
        """
        with self._lock:
            changed, self._changed = self._changed, set()
        return changed if len(changed) <= MAX_CHANGED else None

    def forget_user(self, user: str) -> None:
        """Delete what is known of a user's locations."""
        with self._lock:
            self._note_change(user)
            self._country.forget(user)
            self._travel.forget(user)

    def _note_change(self, user: str) -> None:
        if len(self._changed) <= MAX_CHANGED:
            self._changed.add(user)
