# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy in force with its files and version, and the one way in which another policy takes its place."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from admin_api.enforcement.api_rules import as_documents
from admin_api.enforcement.policy.changes import NewPolicy, Prepared
from admin_api.enforcement.policy.revisions import Documents, Note, RuleEdits, note_revision, tell_version
from admin_api.enforcement.policy.rollout import Alone
from admin_api.enforcement.policy.rule_file_set import RuleFileSet
from admin_api.log_events import ApiEvent
from sentry_engine.policy.rule_files import RuleFiles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from admin_api.clock import Clock
    from admin_api.enforcement.kernel_filter import KernelFilter
    from admin_api.enforcement.policy.changes import Pending, Plan
    from admin_api.enforcement.policy.rollout import Rollout
    from admin_api.ports import LiveSessions, PolicyLoader
    from admin_api.store import Store, UnitOfWork
    from admin_api.workers import ControlWorker
    from sentry_engine import Engine, Policy
    from sentry_engine.engine.prepared_policy import PreparedPolicy
    from sentry_engine.policy.rule_files import RuleFile
    from vpn_frontend.ports import EventSink

logger = logging.getLogger(__name__)


class PolicyState:
    """Every change of policy runs inside ``changing``; ``engine_lock`` serialises what changes the engine."""

    def __init__(
        self,
        engine: Engine,
        sessions: LiveSessions,
        store: Store,
        paths: Sequence[object],
        *,
        events: EventSink,
        clock: Clock,
        control: ControlWorker,
        kernel: KernelFilter,
        load: PolicyLoader,
        rule_files: RuleFiles | None = None,
    ) -> None:
        self.engine = engine
        self.sessions = sessions
        self.store = store
        self.events = events
        self.clock = clock
        self.control = control
        self.lock = asyncio.Lock()
        self.engine_lock = asyncio.Lock()
        self.policy = engine.policy
        self.files = RuleFileSet()
        self.version = 0  # the number of the latest revision
        self.loaded_at = clock.wall()
        self.pending: Pending | None = None
        self.rollout: Rollout = Alone()
        self._swaps = 0  # policies that were put in force
        self._kernel = kernel
        self._load = load
        self._paths = tuple(map(str, paths))
        self._rule_files = rule_files or RuleFiles()

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Holds the lock of changes of the policy. The kernel follows after it, while no lock is held."""
        before = self._swaps
        try:
            async with self.lock:
                yield
        finally:
            if self._swaps != before:  # also where the policy was taken back
                await self._kernel.lift()

    @asynccontextmanager
    async def changing_everywhere(self, *, dry_run: bool = False, wait: bool = True) -> AsyncIterator[None]:
        """As ``changing``, and no other server of a fleet changes the policy meanwhile. A ``dry_run`` needs no turn.

        Raises ``ApiError`` if another one is at it, for long or without ``wait``.
        """
        async with nullcontext() if dry_run else self.rollout.turn(wait=wait), self.changing():
            yield

    async def read_disk(self) -> dict[str, RuleFile]:
        """Returns the rule files on disk. Raises ``PolicyError``."""
        return await self.control.run(self._rule_files.load_all, self._paths)

    async def read_documents(self) -> Documents:
        """Returns the rules made over the API."""
        async with self.store.read() as unit:
            return {row.id: row.document for row in await unit.rules.read_all()}

    def loader_of(self, files: RuleFileSet, documents: Mapping[str, Mapping[str, Any]]) -> Callable[[], Policy]:
        return partial(self._load, documents=as_documents(documents.items()), parts=files.parts())

    def loader_of_documents(self, documents: Mapping[str, Mapping[str, Any]]) -> Callable[[], Policy]:
        """Returns what compiles these rule documents alone."""
        return partial(self._load, documents=documents)

    def loader_of_disk(self, documents: Mapping[str, Mapping[str, Any]]) -> Callable[[], Policy]:
        """Returns what reads and compiles the rule files on disk with the API's rules."""

        def load() -> Policy:
            return self.loader_of(RuleFileSet(self._rule_files.load_all(self._paths)), documents)()

        return load

    async def compile(self, files: RuleFileSet, documents: Mapping[str, Mapping[str, Any]]) -> NewPolicy:
        """Raises ``PolicyError``."""
        return NewPolicy(await self.control.run(self.loader_of(files, documents)), files)

    async def prepare(self, new: NewPolicy) -> PreparedPolicy:
        """Make the plan, which takes the time of a change, while blocks go on. Raises ``PlanError``."""
        return await self.control.run(self.engine.prepare, new.policy)

    async def put_in_force(self, new: NewPolicy, prepared: PreparedPolicy | None = None) -> None:
        """Raises ``PlanError``; then the earlier policy stays."""
        ready = prepared or await self.prepare(new)
        async with self.engine_lock:
            await self.control.run(self.engine.swap, ready)
            self._swaps += 1
            self.policy, self.files = new.policy, new.files
            self.loaded_at = self.clock.wall()

    async def reassess(self) -> int:
        """Returns how many sessions were disconnected."""
        async with self.engine_lock:
            return len(await self.sessions.reassess())

    async def replace_policy(
        self,
        new: NewPolicy,
        plan: Plan,
        note: Note,
        edits: RuleEdits,
        write: Callable[[UnitOfWork], Awaitable[object]],
    ) -> int | None:
        """Put a policy in force and write its revision and ``write``: both or none, on all servers of a fleet or none.

        Returns the number of the revision; ``None`` if the policy is the one in force already.
        """
        before = NewPolicy(self.policy, self.files)
        prepared = await self.prepare(new)  # a block is written meanwhile, too
        proposal = await self.rollout.agree(plan)
        complete = False
        try:
            async with self.store.write() as unit:
                await write(unit)
                row = await note_revision(unit, note, new.files, edits)
                await self.rollout.seal(unit, proposal, None if row is None else row.number)
                await self.put_in_force(new, prepared)
                complete = True
        except BaseException:
            if self.policy is not before.policy:
                await self.put_in_force(before)
            if complete:  # the database may have it all the same
                self.rollout.doubt(proposal, Prepared(plan, new, before.files))
            raise
        if row is not None:
            self.version = row.number
        await self.rollout.spread(proposal)
        return None if row is None else row.number

    async def note(self, note: Note) -> None:
        """Write the revision and the audit row of the policy in force.

        A failure is only logged: the policy is in force, and the next revision notes it too. A canary has none yet.
        """
        if self.pending is not None and self.pending.canary is not None and self.pending.canary.here:
            return
        try:
            async with self.store.write() as unit:
                row = await note_revision(unit, note, self.files, RuleEdits())
                tell_version(unit, row)
                version = self.version if row is None else row.number
                await unit.audit.add(note.by, "policy_reloaded", f"version {version}", rules=note.rules)
        except Exception as error:  # noqa: BLE001 - a full disk, for example: no fault of this program
            logger.warning("the revision of a reload could not be written: %s", error)
        else:
            self.version = version

    def report_held(self) -> None:
        if self.files.held:
            self.events.emit(ApiEvent.RULE_FILES_HELD, files=sorted(self.files.held))
