# SPDX-License-Identifier: GPL-3.0-or-later
"""Saves of what the engine knows of sources and users: how many of which kind, and how long they took."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from admin_api.metrics.durations import Durations

if TYPE_CHECKING:
    from collections.abc import Mapping

CHANGES = "changes"  # of these only; else the reason why everything was saved


class StateSaves:
    """Counts finished saves. A reason is a code, so its values are bounded."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._durations = {"changes": Durations(), "whole": Durations()}

    @property
    def counts(self) -> Mapping[str, int]:
        """Saves by reason."""
        return self._counts

    @property
    def durations(self) -> Mapping[str, Durations]:
        """By what was saved, ``changes`` or ``whole``: time from the first step to the last, without pauses between."""
        return self._durations

    def observe(self, whole: str, seconds: float) -> None:
        """``whole``: why everything was saved; empty: only changes were."""
        self._counts[whole or CHANGES] += 1
        self._durations["whole" if whole else "changes"].observe(seconds)
