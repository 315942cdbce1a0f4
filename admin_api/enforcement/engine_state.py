# SPDX-License-Identifier: GPL-3.0-or-later
"""Saves what the engine knows of sources and users, periodically and at the stop, and restores it at the start.

Blocks are not part of it: their own table is written as they are set.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sentry_engine import Reason, State
from sentry_engine.engine.saved_state import MAX_SOURCES, SavedPenalty, SavedSource, SavedUser

if TYPE_CHECKING:
    from collections.abc import Callable

    from admin_api.store import Store
    from admin_api.workers import ControlWorker
    from sentry_engine import Engine
    from sentry_engine.engine.state_changes import StateChanges

LATEST = datetime.max.replace(tzinfo=UTC).timestamp()  # Unix time of the latest end that a row can hold (year 9999)
WHOLE_INTERVAL = 3_600.0  # seconds until rows that ended meanwhile are removed
MAX_ADDED = MAX_SOURCES // 4  # rows by which a table may outgrow the bounds of a whole save


class EngineStateSaver:
    """Saves what changed since the last time, and all of it the first time, after a failure, and where it is due.

    A whole save removes what ended: each hour if anything was saved, and after ``MAX_ADDED`` rows. Between, such rows
    stay in the tables, and restoring them restores nothing. One save at a time.
    """

    def __init__(
        self, store: Store, engine: Engine, control: ControlWorker, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._engine = engine
        self._control = control
        self._clock = clock
        self._due = 0.0  # when all is saved next, by the clock
        self._rows = 0  # saved, at most
        self._added = 0  # of them since all was saved
        self._is_whole = False  # what the tables hold is what the engine was last asked for

    async def save(self) -> State | None:
        """Returns the state if it was saved as a whole."""
        whole_is_due = not self._is_whole or (self._rows and self._clock() >= self._due)
        self._is_whole = False
        if not whole_is_due and (changes := await self._control.run(self._engine.take_changes)) is not None:
            self._added += await self._write(changes)
            self._is_whole = self._added <= MAX_ADDED
            return None
        state = await save_engine_state(self._store, self._engine, self._control)
        self._rows = len(state.penalties) + len(state.sources) + len(state.users)
        self._added, self._due, self._is_whole = 0, self._clock() + WHOLE_INTERVAL, True
        return state

    async def _write(self, changes: StateChanges) -> int:
        """Returns the number of rows that were put."""
        penalties = {key: None if one is None else _penalty_row(one) for key, one in changes.penalties.items()}
        sources = {key: None if one is None else one.to_json() for key, one in changes.sources.items()}
        users = {key: None if one is None else one.to_json() for key, one in changes.users.items()}
        if penalties or sources or users:
            async with self._store.write() as unit:
                await unit.penalties.change(penalties)
                await unit.sources.change(sources)
                await unit.locations.change(users)
        put = sum(row is not None for rows in (penalties, sources, users) for row in rows.values())
        self._rows += put
        return put


async def save_engine_state(store: Store, engine: Engine, control: ControlWorker) -> State:
    """Write all penalties, strikes, windows and last locations of users. Returns the saved state."""

    def export() -> State:
        engine.take_changes()  # what changed before is in the export
        return engine.export_state(with_blocks=False)

    state = await control.run(export)
    async with store.write() as unit:
        await unit.penalties.replace_all(map(_penalty_row, state.penalties))
        await unit.sources.replace_all(source.to_json() for source in state.sources)
        await unit.locations.replace_all(user.to_json() for user in state.users)
    return state


def _penalty_row(penalty: SavedPenalty) -> dict[str, Any]:
    return {
        "network": penalty.network,
        "until": None if penalty.until is None else datetime.fromtimestamp(min(penalty.until, LATEST), UTC),
        "reason": penalty.reason.value,
        "rule_id": penalty.rule_id,
    }


async def restore_engine_state(store: Store, engine: Engine, control: ControlWorker) -> int:
    """Restore what has not expired. Returns the number of penalties. Raises ``ValueError`` for malformed rows."""
    async with store.read() as unit:
        penalties, sources = await unit.penalties.read_all(), await unit.sources.read_all()
        users = await unit.locations.read_all()
    state = State(
        tuple(
            SavedPenalty(
                row["network"],
                None if row["until"] is None else row["until"].timestamp(),
                Reason(row["reason"]),
                row["rule_id"],
            )
            for row in penalties
        ),
        sources=tuple(map(SavedSource.from_json, sources)),
        users=tuple(map(SavedUser.from_json, users)),
    )
    return await control.run(engine.import_state, state)
