# SPDX-License-Identifier: GPL-3.0-or-later
"""The penalty box over a restart: stored when the server stops and now and then, put back when it starts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from admin_api.store.tables import StoredPenalty
from sentry_engine import Reason
from sentry_engine.addresses import render_network

if TYPE_CHECKING:
    from admin_api.clock import Clock
    from admin_api.store import Store
    from sentry_engine import Engine


async def store_penalties(store: Store, engine: Engine, clock: Clock) -> int:
    """Write down the penalties in force; returns how many."""
    rows = [
        StoredPenalty(
            network=render_network(penalty.network, penalty.length),
            until=None if math.isinf(penalty.until) else clock.moment(penalty.until),
            strikes=penalty.strikes,
            reason=penalty.reason.value,
            rule_id=penalty.rule_id,
        )
        for penalty in engine.penalties()
    ]
    async with store.write() as unit:
        await unit.penalties.replace_all(rows)
    return len(rows)


async def restore_penalties(store: Store, engine: Engine, clock: Clock) -> int:
    """Put back what has not ended meanwhile; returns how many."""
    async with store.read() as unit:
        rows = await unit.penalties.everything()
    now = clock.wall()
    restored = 0
    for row in rows:
        left = math.inf if row.until is None else (row.until - now).total_seconds()
        if left > 0:
            engine.penalize(row.network, left, reason=Reason(row.reason), rule_id=row.rule_id)
            restored += 1
    return restored
