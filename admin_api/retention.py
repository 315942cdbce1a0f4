# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes old rows, a few in each transaction, so that no other writer waits long."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from admin_api.store import Store

BATCH = 500  # rows in one transaction
RETENTION_INTERVAL = 600.0  # seconds between two runs


@dataclass(frozen=True, slots=True)
class RetentionTimes:
    """Seconds; ``None``: without end."""

    sessions: float | None = None
    audit: float | None = None
    decisions: float | None = None


async def remove_old_rows(store: Store, times: RetentionTimes) -> int:
    """Remove ended sessions and audit rows that are older than ``times``. Returns how many."""
    removed = 0
    now = store.clock.wall()
    while times.sessions is not None:
        async with store.write() as unit:
            count = await unit.sessions.forget_before(now - timedelta(seconds=times.sessions), BATCH)
        removed += count
        if count < BATCH:
            break
        await asyncio.sleep(0)
    while times.audit is not None:
        async with store.write() as unit:
            count = await unit.audit.forget_before(now - timedelta(seconds=times.audit), BATCH)
        removed += count
        if count < BATCH:
            break
        await asyncio.sleep(0)
    return removed
