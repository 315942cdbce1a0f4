# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine knows of sources and users over a restart: stored at the stop and now and then, put back at the
start.

Blocks are not among it: they have their own table, and are there from the moment they are set.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from admin_api.store.tables import StoredPenalty
from sentry_engine import Reason, State
from sentry_engine.engine.saved_state import SavedPenalty, SavedSource, SavedUser

if TYPE_CHECKING:
    from admin_api.store import Store
    from sentry_engine import Engine

LATEST = datetime.max.replace(tzinfo=UTC).timestamp()  # seconds; what ends later ends in the year 9999


async def save_engine_state(store: Store, engine: Engine) -> State:
    """Write down who is in penalty, what counts against sources, and where users were; returns it."""
    state = await asyncio.to_thread(engine.export_state)
    penalties = [
        StoredPenalty(
            network=penalty.network,
            until=None if penalty.until is None else datetime.fromtimestamp(min(penalty.until, LATEST), UTC),
            reason=penalty.reason.value,
            rule_id=penalty.rule_id,
        )
        for penalty in state.penalties
    ]
    async with store.write() as unit:
        await unit.penalties.replace_all(penalties)
        await unit.sources.replace_all([source.to_json() for source in state.sources])
        await unit.locations.replace_all([user.to_json() for user in state.users])
    return state


async def restore_engine_state(store: Store, engine: Engine) -> int:
    """Put back what still matters; returns how many penalties. Raises ``ValueError`` for rows that nobody stored."""
    async with store.read() as unit:
        penalties, sources = await unit.penalties.read_all(), await unit.sources.read_all()
        users = await unit.locations.read_all()
    state = State(
        tuple(
            SavedPenalty(p.network, None if p.until is None else p.until.timestamp(), Reason(p.reason), p.rule_id)
            for p in penalties
        ),
        sources=tuple(map(SavedSource.from_json, sources)),
        users=tuple(map(SavedUser.from_json, users)),
    )
    return await asyncio.to_thread(engine.import_state, state)
