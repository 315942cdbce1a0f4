# SPDX-License-Identifier: GPL-3.0-or-later
"""Saves what the engine knows of sources and users, periodically and at the stop, and restores it at the start.

Blocks are not part of it: their own table is written as they are set.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from admin_api.store.policy.table_snapshot import ROWS_AT_A_TIME, RenderedRows, render_changes
from admin_api.store.tables import StoredLocation, StoredPenalty, StoredSource
from sentry_engine import Reason, State
from sentry_engine.engine.saved_state import MAX_SOURCES, SavedPenalty, SavedSource, SavedUser
from sentry_engine.engine.state_changes import StateChanges
from sentry_engine.gc_pause import collector_paused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from admin_api.store import Store, UnitOfWork
    from admin_api.workers import ControlWorker
    from sentry_engine import Engine

LATEST = datetime.max.replace(tzinfo=UTC).timestamp()  # Unix time of the latest end that a row can hold (year 9999)
MAX_ADDED = MAX_SOURCES // 4  # sources by which their table may outgrow MAX_SOURCES, until the lightest are removed


class Saved(NamedTuple):
    """``sources``: rows put. ``left_out``: sources that have no row, or no longer, because others have more events."""

    is_whole: bool
    sources: int
    left_out: int


class _Part(NamedTuple):
    """Rows of each table, rendered by a control thread."""

    penalties: RenderedRows
    sources: RenderedRows
    users: RenderedRows
    sources_put: int = 0

    @classmethod
    def of(cls, changes: StateChanges) -> _Part:
        penalties = {key: None if one is None else _penalty_row(one) for key, one in changes.penalties.items()}
        sources = {key: None if one is None else one.to_json() for key, one in changes.sources.items()}
        users = {key: None if one is None else one.to_json() for key, one in changes.users.items()}
        return cls(
            render_changes(StoredPenalty, penalties),
            render_changes(StoredSource, sources),
            render_changes(StoredLocation, users),
            sum(row is not None for row in sources.values()),
        )

    async def write(self, unit: UnitOfWork) -> None:
        await unit.penalties.change(self.penalties)
        await unit.sources.change(self.sources)
        await unit.locations.change(self.users)


class EngineStateSaver:
    """Saves what changed since the last time, and all of it the first time, after a failure, and where it is not known.

    Each part of the changes is a transaction of its own: a crash leaves each source as it was at this save or at the
    one before. One save at a time.
    """

    def __init__(self, store: Store, engine: Engine, control: ControlWorker) -> None:
        self._store = store
        self._engine = engine
        self._control = control
        self._rows = 0  # of sources, at most
        self._is_whole = False  # what the tables hold is what the engine was last asked for

    async def save(self) -> Saved:
        is_whole, self._is_whole = self._is_whole, False
        parts = await self._control.run(self._render_changes) if is_whole else None
        if parts is None:
            state = await save_engine_state(self._store, self._engine, self._control)
            self._rows, self._is_whole = len(state.sources), True
            return Saved(True, len(state.sources), state.left_out)
        put = 0
        for part in parts:
            async with self._store.write() as unit:
                await part.write(unit)
            put += part.sources_put
        self._rows += put
        left_out = 0 if self._rows <= MAX_SOURCES + MAX_ADDED else await self._remove_lightest()
        self._is_whole = True
        return Saved(False, put, left_out)

    def _render_changes(self) -> list[_Part] | None:
        with collector_paused():
            changes = self._engine.take_changes()
            return None if changes is None else [_Part.of(some) for some in changes]

    async def _remove_lightest(self) -> int:
        """Returns the number of rows that were removed."""
        async with self._store.read() as unit:
            networks = iter(await unit.sources.list_beyond(MAX_SOURCES))
        removed = 0
        while some := list(islice(networks, ROWS_AT_A_TIME)):
            async with self._store.write() as unit:
                await unit.sources.change(render_changes(StoredSource, dict.fromkeys(some)))
            removed += len(some)
        self._rows = MAX_SOURCES
        return removed


async def save_engine_state(store: Store, engine: Engine, control: ControlWorker) -> State:
    """Write all penalties, strikes, windows and last locations of users. Returns the saved state."""

    def export() -> tuple[State, list[_Part]]:
        with collector_paused():
            engine.take_changes()  # what changed before is in the export
            state = engine.export_state(with_blocks=False)
            return state, list(_split(state))

    state, parts = await control.run(export)
    async with store.write() as unit:
        for table in (unit.penalties, unit.sources, unit.locations):
            await table.remove_all()
        for part in parts:
            await part.write(unit)
    return state


def _split(state: State) -> Iterator[_Part]:
    penalties, sources, users = iter(state.penalties), iter(state.sources), iter(state.users)
    while True:
        some = StateChanges(
            {one.network: one for one in islice(penalties, ROWS_AT_A_TIME)},
            {one.network: one for one in islice(sources, ROWS_AT_A_TIME)},
            {one.user: one for one in islice(users, ROWS_AT_A_TIME)},
        )
        if not (some.penalties or some.sources or some.users):
            return
        yield _Part.of(some)


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
