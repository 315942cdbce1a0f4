# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors of distributed password guessing: one source trying many users (spray), many sources trying one user
(stuffing).

A successful login removes the user from the count: a user who mistyped is not guessing.
"""

from __future__ import annotations

from sentry_engine.addresses import render_network
from sentry_engine.detectors.attempts import Attempt, Suspicion
from sentry_engine.detectors.recent_keys import RecentSets
from sentry_engine.detectors.thresholds import SprayThreshold, StuffingThreshold
from sentry_engine.verdict import Reason

MAX_ITEMS = 1_000  # users per source, sources per user; also the largest threshold


class SprayDetector:
    def __init__(self) -> None:
        self.threshold: SprayThreshold | None = SprayThreshold()
        self._failed: RecentSets[tuple[bytes, int], str] = RecentSets(MAX_ITEMS)

    def observe(self, attempt: Attempt) -> Suspicion | None:
        threshold = self.threshold
        if threshold is None:
            return None
        if attempt.success:
            self._failed.remove(attempt.source, attempt.user)
            return None
        users = self._failed.add(attempt.source, attempt.user, attempt.now, threshold.window)
        if users < threshold.users:
            return None
        self._failed.forget(attempt.source)
        text = f"{users} users failed from {render_network(*attempt.source)} within {threshold.window:g} s"
        return Suspicion(Reason.PASSWORD_SPRAY, threshold.response, text, threshold.penalty)


class StuffingDetector:
    def __init__(self) -> None:
        self.threshold: StuffingThreshold | None = StuffingThreshold()
        self._failed: RecentSets[str, tuple[bytes, int]] = RecentSets(MAX_ITEMS)

    def observe(self, attempt: Attempt) -> Suspicion | None:
        threshold = self.threshold
        if threshold is None:
            return None
        if attempt.success:
            self._failed.remove(attempt.user, attempt.source)
            return None
        sources = self._failed.add(attempt.user, attempt.source, attempt.now, threshold.window)
        if sources < threshold.sources:
            return None
        self._failed.forget(attempt.user)
        text = f"{attempt.user!r} failed from {sources} sources within {threshold.window:g} s"
        return Suspicion(Reason.CREDENTIAL_STUFFING, threshold.response, text, threshold.penalty)
