# SPDX-License-Identifier: GPL-3.0-or-later
"""The two clocks of the API: wall time, for answers and rows, and the engine's monotonic time, for deadlines.

The wall clock can jump. The running process therefore keeps deadlines in monotonic seconds and converts them to wall
time only to show or store them.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """Both clocks, and the conversion between them."""

    wall: Callable[[], datetime] = _utc_now  # aware, UTC
    monotonic: Callable[[], float] = time.monotonic  # seconds, the engine's clock

    def deadline(self, moment: datetime) -> float:
        """Returns the monotonic time of the wall time ``moment``, by the clocks' present difference."""
        return self.monotonic() + (moment - self.wall()).total_seconds()

    def offset(self) -> float:
        """Returns Unix time minus monotonic time, in seconds. A jump of the wall clock changes it."""
        return self.wall().timestamp() - self.monotonic()

    def moment(self, deadline: float) -> datetime:
        """Returns the wall time of a monotonic time; the inverse of ``deadline``."""
        return self.wall() + timedelta(seconds=deadline - self.monotonic())


SYSTEM_CLOCK = Clock()
