# SPDX-License-Identifier: GPL-3.0-or-later
"""The two clocks of the API: the wall's, for people and rows, and the engine's, for everything that must end on time.

A wall clock jumps; deadlines are therefore kept in seconds of the engine's monotonic clock while the process runs, and
turned into wall time only where they are shown or stored.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    wall: Callable[[], datetime] = _utc_now  # aware, UTC
    monotonic: Callable[[], float] = time.monotonic  # seconds, the engine's clock

    def deadline(self, moment: datetime) -> float:
        """The engine's time at which the wall will show ``moment``, as things stand now."""
        return self.monotonic() + (moment - self.wall()).total_seconds()

    def moment(self, deadline: float) -> datetime:
        """The wall time of an engine's time; the inverse of ``deadline``."""
        return self.wall() + timedelta(seconds=deadline - self.monotonic())


SYSTEM_CLOCK = Clock()
