# SPDX-License-Identifier: GPL-3.0-or-later
"""Applies what changes by time alone: rules with a schedule or an end, and users that expire.

The engine's core reads no calendar, and users are looked up only at login. The scheduler therefore runs every few
seconds and disconnects the sessions that the policy refuses by then.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from admin_api.log_events import ApiEvent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from admin_api.clock import Clock
    from admin_api.enforcement.rule_expiry import RuleExpiry
    from admin_api.ports import LiveSessions
    from admin_api.store import Store
    from admin_api.workers import ControlWorker
    from sentry_engine import Engine
    from vpn_frontend.ports import EventSink

PERIOD = 5.0  # seconds between two runs: the longest delay of a schedule
EXPIRED = "This account has expired."

logger = logging.getLogger(__name__)


class Scheduler:
    """Runs ``apply_due``, and removes rules that have ended, every ``PERIOD`` seconds."""

    def __init__(
        self,
        engine: Engine,
        sessions: LiveSessions,
        store: Store,
        events: EventSink,
        clock: Clock,
        lock: asyncio.Lock,
        control: ControlWorker,
        rule_expiry: RuleExpiry,
    ) -> None:
        """``lock`` serialises all changes of the engine, which run on ``control``."""
        self._engine = engine
        self._sessions = sessions
        self._store = store
        self._events = events
        self._clock = clock
        self._lock = lock
        self._control = control
        self._rule_expiry = rule_expiry
        self._last_run = clock.wall()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Two tasks: to remove rules may wait for the other nodes of a fleet, which no schedule does."""
        self._tasks = [
            asyncio.create_task(self._run(self.apply_due), name="schedules of rules and users"),
            asyncio.create_task(self._run(self._rule_expiry.remove_ended), name="rules that have ended"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def apply_due(self) -> int:
        """Apply due schedules and expiries. Returns how many sessions that disconnected."""
        async with self._lock:
            changed = await self._control.run(self._engine.refresh)
            cut = len(await self._sessions.reassess()) if changed or self._engine.policy.user_rules else 0
        if changed:
            self._events.emit(ApiEvent.SCHEDULE_CHANGED, sessions_cut=cut)
        now = self._clock.wall()
        async with self._store.read() as unit:
            expired = await unit.users.expired_between(self._last_run, now)
        self._last_run = now  # only now: after a failure of the store the same time is looked at again
        return cut + sum(self._sessions.kill_user(name, EXPIRED) for name in expired)

    async def _run(self, work: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            try:
                await work()
            except Exception:
                logger.exception("schedules and expiries could not be applied")
