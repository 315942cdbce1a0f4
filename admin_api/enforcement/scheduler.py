# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes by the clock alone: rules with a schedule, and users whose time is over.

The engine's core asks no calendar and the directory only at login, so somebody looks every few seconds and disconnects
whom the policy refuses by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from admin_api.clock import Clock
    from admin_api.ports import LiveSessions
    from admin_api.store import Store
    from sentry_engine import Engine
    from vpn_frontend.ports import EventSink

PERIOD = 5.0  # seconds; how late a schedule may take effect
EXPIRED = "This account has expired."

logger = logging.getLogger(__name__)


class Timetable:
    def __init__(
        self, engine: Engine, sessions: LiveSessions, store: Store, events: EventSink, clock: Clock, lock: asyncio.Lock
    ) -> None:
        """``lock`` is the one of all changes of policy."""
        self._engine = engine
        self._sessions = sessions
        self._store = store
        self._events = events
        self._clock = clock
        self._lock = lock
        self._looked_at = clock.wall()
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._looking = asyncio.create_task(self._look_for_ever(), name="timetable of rules and users")

    async def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
            self._looking = None

    async def look(self) -> int:
        """Do what is due; returns how many sessions it cut."""
        async with self._lock:
            changed = await asyncio.to_thread(self._engine.refresh)
            cut = len(await self._sessions.reassess()) if changed or self._engine.policy.user_rules else 0
        if changed:
            self._events.emit("schedule_changed", sessions_cut=cut)
        before, self._looked_at = self._looked_at, self._clock.wall()
        async with self._store.read() as unit:
            expired = await unit.users.expired_between(before, self._looked_at)
        return cut + sum(self._sessions.kill_user(name, EXPIRED) for name in expired)

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            try:
                await self.look()
            except Exception:
                logger.exception("the timetable could not be looked at")
