# SPDX-License-Identifier: GPL-3.0-or-later
"""The bounds of what detectors remember."""

from __future__ import annotations

from sentry_engine.detectors.recent_keys import MAX_KEYS, RecentSets


class TestBounds:
    def test_a_flood_of_names_and_sources_is_forgotten_oldest_first(self):
        sets: RecentSets[int, int] = RecentSets(5, max_keys=10)
        for key in range(100):
            for item in range(50):
                sets.add(key, item, 0.0, 60.0)
        assert sets.add(99, 100, 0.0, 60.0) == 5
        assert sets.add(0, 0, 0.0, 60.0) == 1
        assert MAX_KEYS < 100_000
