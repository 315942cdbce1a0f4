# SPDX-License-Identifier: GPL-3.0-or-later
"""Applies what changes by time alone: rules with a schedule or an end.

The engine's core reads no calendar. The scheduler therefore runs every few seconds and disconnects the sessions that
the policy refuses by then. Sessions of users that expire end without it, see
``vpn_frontend/sessions/settings_changes.py``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from admin_api.log_events import ApiEvent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from admin_api.enforcement.rule_expiry import RuleExpiry
    from admin_api.ports import LiveSessions
    from admin_api.workers import ControlWorker
    from sentry_engine import Engine
    from vpn_frontend.ports import EventSink

PERIOD = 5.0  # seconds between two runs: the longest delay of a schedule

logger = logging.getLogger(__name__)


class Scheduler:
    """Runs ``apply_due``, and removes rules that have ended, every ``PERIOD`` seconds."""

    def __init__(
        self,
        engine: Engine,
        sessions: LiveSessions,
        events: EventSink,
        lock: asyncio.Lock,
        control: ControlWorker,
        rule_expiry: RuleExpiry,
    ) -> None:
        """``lock`` serialises changes of the engine, and what they end. A plan is made without it."""
        self._engine = engine
        self._sessions = sessions
        self._events = events
        self._lock = lock
        self._control = control
        self._rule_expiry = rule_expiry
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Two tasks: to remove rules may wait for the other nodes of a fleet, which no schedule does."""
        self._tasks = [
            asyncio.create_task(self._run(self.apply_due), name="schedules of rules"),
            asyncio.create_task(self._run(self._rule_expiry.remove_ended), name="rules that have ended"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def apply_due(self) -> int:
        """Apply due schedules. Returns how many sessions that disconnected."""
        changed = await self._control.run(self._engine.refresh)
        async with self._lock:
            cut = len(await self._sessions.reassess()) if changed or self._engine.policy.user_rules else 0
        if changed:
            self._events.emit(ApiEvent.SCHEDULE_CHANGED, sessions_cut=cut)
        return cut

    async def _run(self, work: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            try:
                await work()
            except MemoryError:
                logger.error("schedules could not be applied: no memory is left")  # noqa: TRY400
            except Exception:
                logger.exception("schedules could not be applied")
