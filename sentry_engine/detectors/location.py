# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors of implausible locations: a user's first login from a country, and impossible travel."""

from __future__ import annotations

import math
from collections.abc import Callable

from sentry_engine.detectors.attempts import Attempt, Response, Suspicion
from sentry_engine.detectors.recent_keys import RecentlyUsed
from sentry_engine.detectors.thresholds import CountryThreshold, TravelThreshold
from sentry_engine.verdict import Reason

EARTH_RADIUS = 6_371.0  # km
Sighting = tuple[float, float, float]  # latitude and longitude in degrees, time (engine's clock)
MAX_COUNTRIES = 64  # remembered per user


class CountryDetector:
    """Learns the countries of each user. The first one, and logins without a country, raise no suspicion."""

    def __init__(self, evicted: Callable[[str], object] | None = None) -> None:
        """``evicted`` is told the users that are forgotten for others."""
        self.threshold: CountryThreshold | None = CountryThreshold()
        self._seen: RecentlyUsed[str, frozenset[str]] = RecentlyUsed(evicted=evicted)

    def observe(self, attempt: Attempt) -> Suspicion | None:
        threshold, country = self.threshold, attempt.location.country
        if threshold is None or not attempt.success or not country:
            return None
        seen = self._seen.get(attempt.user) or frozenset()
        if not seen or country in seen:
            self._seen.put(attempt.user, seen | {country})
            return None
        if threshold.response is not Response.DENY and len(seen) < MAX_COUNTRIES:
            self._seen.put(attempt.user, seen | {country})
        text = f"{attempt.user!r} came from {country} for the first time (known: {', '.join(sorted(seen))})"
        return Suspicion(Reason.NEW_COUNTRY, threshold.response, text, threshold.penalty)

    def learn(self, user: str, countries: frozenset[str]) -> None:
        """Add countries from a saved state or from the operator."""
        self._seen.put(user, (self._seen.get(user) or frozenset()) | countries)

    def countries(self, user: str) -> frozenset[str]:
        return self._seen.get(user) or frozenset()

    def users(self) -> list[str]:
        """Users with a known country, least recently seen first."""
        return self._seen.keys()

    def forget(self, user: str) -> None:
        self._seen.forget(user)


class TravelDetector:
    """Compares each successful login with the previous one. Needs a database with coordinates (City)."""

    def __init__(self, evicted: Callable[[str], object] | None = None) -> None:
        """``evicted`` is told the users that are forgotten for others."""
        self.threshold: TravelThreshold | None = TravelThreshold()
        self._last: RecentlyUsed[str, Sighting] = RecentlyUsed(evicted=evicted)

    def observe(self, attempt: Attempt) -> Suspicion | None:
        threshold, location = self.threshold, attempt.location
        if threshold is None or not attempt.success or location.latitude is None or location.longitude is None:
            return None
        here = (location.latitude, location.longitude)
        last = self._last.get(attempt.user)
        if last is None:
            self._last.put(attempt.user, (*here, attempt.now))
            return None
        kilometres = great_circle(last[:2], here)
        hours = max(attempt.now - last[2], 1.0) / 3_600
        impossible = kilometres >= threshold.kilometres and kilometres / hours > threshold.kilometres_per_hour
        if not impossible or threshold.response is not Response.DENY:
            self._last.put(attempt.user, (*here, attempt.now))
        if not impossible:
            return None
        text = f"{attempt.user!r} moved {kilometres:.0f} km in {hours:.1f} h"
        return Suspicion(Reason.IMPOSSIBLE_TRAVEL, threshold.response, text, threshold.penalty)

    def learn(self, user: str, sighting: Sighting) -> None:
        """Add a sighting from a saved state, unless a later one is known."""
        known = self._last.get(user)
        if known is None or known[2] < sighting[2]:
            self._last.put(user, sighting)

    def last(self, user: str) -> Sighting | None:
        return self._last.get(user)

    def users(self) -> list[str]:
        """Users with a sighting, least recently seen first."""
        return self._last.keys()

    def forget(self, user: str) -> None:
        self._last.forget(user)


def great_circle(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Kilometres between two (latitude, longitude) in degrees, by the haversine formula."""
    lat1, lon1, lat2, lon2 = map(math.radians, (*one, *other))
    chord = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS * math.asin(math.sqrt(min(1.0, chord)))
