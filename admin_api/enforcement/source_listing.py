# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine knows of sources: events that still count, and strikes.

Reading it walks every source, so one thread does it at a time, and callers of the next second get what it has found.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admin_api.clock import Clock
    from sentry_engine import Engine
    from sentry_engine.engine.saved_state import SavedSource

LIFETIME = 1.0  # seconds


class SourceListing:
    """Made once for a server."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._lock = asyncio.Lock()
        self._found: Sequence[SavedSource] = ()
        self._found_at = -math.inf

    async def list(self) -> Sequence[SavedSource]:
        async with self._lock:
            if self._clock.monotonic() - self._found_at >= LIFETIME:
                self._found = await asyncio.to_thread(self._engine.sources)
                self._found_at = self._clock.monotonic()
            return self._found
