# SPDX-License-Identifier: GPL-3.0-or-later
"""Saves what the engine knows of sources and users, periodically and at the stop, and restores it at the start.

Blocks are not part of it: their own table is written as they are set.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from admin_api.store.tables import StoredPenalty
from sentry_engine import Reason, State
from sentry_engine.engine.saved_state import SavedPenalty, SavedSource, SavedUser

if TYPE_CHECKING:
    from admin_api.store import Store
    from admin_api.workers import ControlWorker
    from sentry_engine import Engine

LATEST = datetime.max.replace(tzinfo=UTC).timestamp()  # Unix time of the latest end that a row can hold (year 9999)


async def save_engine_state(store: Store, engine: Engine, control: ControlWorker) -> State:
    """Write penalties, strikes, windows and the users' last locations. Returns the saved state."""
    state = await control.run(engine.export_state, with_blocks=False)
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


async def restore_engine_state(store: Store, engine: Engine, control: ControlWorker) -> int:
    """Restore what has not expired. Returns the number of penalties. Raises ``ValueError`` for malformed rows."""
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
    return await control.run(engine.import_state, state)
