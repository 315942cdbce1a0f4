# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes old rows, a few in each transaction, so that no other writer waits long."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from admin_api.store import Store, UnitOfWork

BATCH = 500  # rows in one transaction
RETENTION_INTERVAL = 600.0  # seconds between two runs


@dataclass(frozen=True, slots=True)
class RetentionTimes:
    """Seconds; ``None``: without end."""

    sessions: float | None = None
    audit: float | None = None
    decisions: float | None = None


class _Forgets(Protocol):
    async def forget_before(self, moment: datetime, limit: int) -> int: ...


async def remove_old_rows(store: Store, times: RetentionTimes) -> int:
    """Remove ended sessions, devices and audit rows that are older than ``times``. Returns how many."""
    removed = 0
    now = store.clock.wall()
    forgets: tuple[tuple[float | None, Callable[[UnitOfWork], _Forgets]], ...] = (
        (times.sessions, lambda unit: unit.sessions),
        (times.sessions, lambda unit: unit.devices),
        (times.audit, lambda unit: unit.audit),
    )
    for seconds, repository_of in forgets:
        if seconds is None:
            continue
        count = BATCH
        while count >= BATCH:
            async with store.write() as unit:
                count = await repository_of(unit).forget_before(now - timedelta(seconds=seconds), BATCH)
            removed += count
            await asyncio.sleep(0)
    return removed
