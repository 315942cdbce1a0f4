# SPDX-License-Identifier: GPL-3.0-or-later
"""Saves what the engine knows of sources and users, periodically and at the stop, and restores it at the start.

Blocks are not part of it: their own table is written as they are set.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from admin_api.metrics.state_saves import StateSaves
from admin_api.store.policy.table_snapshot import ROWS_AT_A_TIME, RenderedRows, render_changes
from admin_api.store.tables import StoredLocation, StoredPenalty, StoredSource
from sentry_engine import Reason, State
from sentry_engine.addresses import pack_network, render_network
from sentry_engine.cores.interface import ChangesUnknownError
from sentry_engine.engine.saved_state import MAX_SOURCES, SavedPenalty, SavedSource, SavedUser
from sentry_engine.gc_pause import collector_paused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from admin_api.store import Store, UnitOfWork
    from admin_api.store.columns import Base
    from admin_api.store.policy.table_snapshot import TableSnapshot
    from admin_api.workers import ControlWorker
    from sentry_engine import Engine
    from sentry_engine.engine.state_changes import StateChanges

LATEST = datetime.max.replace(tzinfo=UTC).timestamp()  # Unix time of the latest end that a row can hold (year 9999)
MAX_ADDED = MAX_SOURCES // 4  # sources by which their table may outgrow MAX_SOURCES, until the lightest are removed
LISTED_AT_A_TIME = 8 * ROWS_AT_A_TIME  # of the lightest: the database sorts all for each list
TABLES: Mapping[str, type[Base]] = {"penalties": StoredPenalty, "sources": StoredSource, "locations": StoredLocation}

Row = TypeVar("Row")


class Saved(NamedTuple):
    """``sources``: rows put. ``left_out``: sources that have no row, or no longer, because others have more events.

    ``whole``: why everything was saved, a code; empty: only what changed was. ``seconds``: what it took.
    """

    whole: str
    sources: int
    left_out: int
    seconds: float


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


class _Job:
    """One save, until all of it is written. ``kept``: by table the keys that have something to keep; others go."""

    def __init__(self, changes: Iterator[StateChanges], whole: str = "", left_out: int = 0) -> None:
        self._changes = changes
        self.whole, self.left_out = whole, left_out
        self.kept: dict[str, Collection[str]] = {}
        self.unwritten: _Part | None = None
        self.put = 0  # sources
        self.seconds = 0.0

    def render(self) -> _Part | None:
        """Returns the next part to write; ``None``: there is none."""
        if self.unwritten is None:
            changes = next(self._changes, None)
            self.unwritten = None if changes is None else _Part.of(changes)
        return self.unwritten


class EngineStateSaver:
    """Saves what changed since the last time, and all of it where that is not known one by one.

    Each part is a transaction of its own, made and written before the next one: neither the event loop nor another
    writer waits for more than one. A crash leaves each source as it was at this save or at the one before. A save that
    is cut off, by an error of the store or a stop, is continued by the next one. One save at a time.
    """

    def __init__(self, store: Store, engine: Engine, control: ControlWorker) -> None:
        self._store = store
        self._engine = engine
        self._control = control
        self._saving = asyncio.Lock()
        self._rendering = Lock()  # a thread goes on when the save that waits for it is cancelled
        self._job: _Job | None = None
        self._failed = True  # what was taken of the engine is lost
        self._rows: int | None = None  # of sources, at most
        self.saves = StateSaves()

    async def save(self) -> Saved:
        """Raises the database's error."""
        async with self._saving:
            is_new = False
            while not is_new:
                job, is_new = await self._control.run(self._begin)
                saved = await self._finish(job)
            return saved

    def _begin(self) -> tuple[_Job, bool]:
        """Returns the save that was cut off, or a new one, and whether it is new."""
        with self._rendering, collector_paused():
            job, is_new = self._job, self._job is None
            if job is None:
                job = self._job = self._take()
            return job, is_new

    def _take(self) -> _Job:
        failed, self._failed = self._failed, True
        try:
            changes = self._engine.take_changes()
            reason = "failure" if failed else ""
        except ChangesUnknownError as error:
            changes, reason = iter(()), error.reason
        job = _Job(changes)
        if reason:
            state = self._engine.take_state()
            job = _Job(state.changes, reason, state.left_out)
            job.kept = {"penalties": state.penalties, "sources": state.sources, "locations": state.users}
        self._failed = False
        return job

    def _render(self, job: _Job) -> _Part | None:
        with self._rendering, collector_paused():
            try:
                return job.render()
            except BaseException:
                self._job, self._failed = None, True
                raise

    async def _finish(self, job: _Job) -> Saved:
        began = time.perf_counter()
        try:
            await self._remove_others(job)
            while part := await self._control.run(self._render, job):
                await self._write(part)
                job.unwritten = None
                job.put += part.sources_put
            left_out = job.left_out + await self._remove_lightest()
        finally:
            job.seconds += time.perf_counter() - began
        self._job = None
        self.saves.observe(job.whole, job.seconds)
        return Saved(job.whole, job.put, left_out, job.seconds)

    async def _write(self, part: _Part) -> None:
        if self._rows is not None:
            self._rows += part.sources_put  # also where they update one: counted when it matters
        async with self._store.write() as unit:
            await part.write(unit)

    async def _remove_others(self, job: _Job) -> None:
        """Remove the rows of networks and users of which nothing is to be kept."""
        while job.kept:
            table, kept = next(iter(job.kept.items()))
            keys, last = [""], ""
            while keys:
                async with self._store.read() as unit:
                    keys = await _table(unit, table).keys_after(last, ROWS_AT_A_TIME)
                if gone := [key for key in keys if key not in kept]:
                    async with self._store.write() as unit:
                        await _table(unit, table).change(render_changes(TABLES[table], dict.fromkeys(gone)))
                last = keys[-1] if keys else last
            del job.kept[table]

    async def _remove_lightest(self) -> int:
        """Keep the table of sources in its bounds. Returns the number of rows that were removed."""
        removed = 0
        if self._rows is None or self._rows > MAX_SOURCES + MAX_ADDED:
            async with self._store.read() as unit:
                self._rows = await unit.sources.count()
        is_full = self._rows > MAX_SOURCES + MAX_ADDED
        while is_full and self._rows > MAX_SOURCES:
            async with self._store.read() as unit:
                beyond = iter(await unit.sources.list_beyond(MAX_SOURCES, LISTED_AT_A_TIME))
            while some := list(islice(beyond, ROWS_AT_A_TIME)):
                async with self._store.write() as unit:
                    await unit.sources.change(render_changes(StoredSource, dict.fromkeys(some)))
                self._rows, removed = self._rows - len(some), removed + len(some)
        return removed


def _table(unit: UnitOfWork, name: str) -> TableSnapshot:
    table: TableSnapshot = getattr(unit, name)
    return table


def _penalty_row(penalty: SavedPenalty) -> dict[str, Any]:
    return {
        "network": penalty.network,
        "until": None if penalty.until is None else datetime.fromtimestamp(min(penalty.until, LATEST), UTC),
        "reason": penalty.reason.value,
        "rule_id": penalty.rule_id,
    }


class Restored(NamedTuple):
    """``penalties`` in force; ``malformed``: rows that were left out, with what is wrong with the first."""

    penalties: int
    malformed: int = 0
    problem: str = ""


async def restore_engine_state(store: Store, engine: Engine, control: ControlWorker) -> Restored:
    """Restore what has not expired. A row that cannot be read, as of a later version, costs no other one."""
    async with store.read() as unit:
        penalties, sources = await unit.penalties.read_all(), await unit.sources.read_all()
        users = await unit.locations.read_all()

    def restore() -> Restored:
        problems: list[str] = []
        state = State(
            tuple(_read(_read_penalty, penalties, problems)),
            sources=tuple(_read(SavedSource.from_json, sources, problems)),
            users=tuple(_read(SavedUser.from_json, users, problems)),
        )
        return Restored(engine.import_state(state), len(problems), problems[0] if problems else "")

    return await control.run(restore)


def _read(read: Callable[[Mapping[str, Any]], Row], rows: list[dict[str, Any]], problems: list[str]) -> Iterator[Row]:
    for row in rows:
        try:
            yield read(row)
        except ValueError as error:
            problems.append(str(error))


def _read_penalty(row: Mapping[str, Any]) -> SavedPenalty:
    until = None if row["until"] is None else row["until"].timestamp()
    network = render_network(*pack_network(row["network"]))
    return SavedPenalty(network, until, Reason(row["reason"]), row["rule_id"])
