# SPDX-License-Identifier: GPL-3.0-or-later
"""The only module that changes the policy in force, for the API, the Unix socket, the file watcher and SIGHUP.

One lock serialises changes of the policy. Each is atomic: compile, put into the engine, commit to the store. If the
commit fails, the engine gets the earlier policy back. When a change returns, it applies to new sources, and every live
session that it refuses has been disconnected. Changes run on threads of their own (``workers``), and wait for no trial.

A second lock serialises what changes the engine, blocks included. It is never held while the store is waited for, or
rules are read, checked and compiled: none of these holds up a block, only the swap of a plan that is ready.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from admin_api.clock import SYSTEM_CLOCK, Clock
from admin_api.enforcement.api_rules import RuleChange, SavedRule, count_rules
from admin_api.enforcement.blocks.bulk_import import BlockImport, ImportOptions
from admin_api.enforcement.blocks.enforced import BlockChange, BlockList, Followed, block_rule_id
from admin_api.enforcement.blocks.writer import OwnRows
from admin_api.enforcement.kernel_filter import KernelFilter, NoKernelFilter
from admin_api.enforcement.policy.changes import Application
from admin_api.enforcement.policy.editor import PolicyEditor
from admin_api.enforcement.policy.following import BY, PolicyFollower
from admin_api.enforcement.policy.revisions import Note, RevisionAction, RuleEdits, note_revision, read_files_in_force
from admin_api.enforcement.policy.rule_file_set import RuleFileSet
from admin_api.enforcement.policy.safeguards import refuse_large_cut, refuse_lockout, refuse_wide
from admin_api.enforcement.policy.state import PolicyState
from admin_api.enforcement.policy.trials import Trials
from admin_api.enforcement.reports import BlockReport, EnforcementStatus, PolicyReport, RemovalReport
from admin_api.enforcement.rule_expiry import RuleExpiry
from admin_api.enforcement.scheduler import Scheduler
from admin_api.http.problems import ApiError, ProblemKind
from admin_api.http.values import parse_network
from admin_api.log_events import ApiEvent
from admin_api.progress import advance, pass_no_return
from admin_api.workers import ControlWorker, TrialWorker
from sentry_engine import Engine, Finding, PlanError, Policy, PolicyError, Problem
from vpn_frontend.settings import Address, Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from admin_api.enforcement.blocks.table import BlockEntry
    from admin_api.enforcement.blocks.writer import BlockRows
    from admin_api.enforcement.policy.changes import Prepared
    from admin_api.enforcement.policy.rollout import Rollout
    from admin_api.ports import LiveSessions, PolicyLoader
    from admin_api.store import Store
    from sentry_engine.engine.decision_log import Decision
    from sentry_engine.engine.replay import Change
    from sentry_engine.policy.rule_files import RuleFile, RuleFiles
    from vpn_frontend.ports import EventSink

RELOAD_STEPS = 4  # read, compiled, in force, sessions checked
logger = logging.getLogger(__name__)


class Enforcement:
    """Changes the policy in force. Call ``start`` before the VPN accepts clients."""

    def __init__(
        self,
        engine: Engine,
        sessions: LiveSessions,
        store: Store,
        paths: Sequence[object],
        *,
        events: EventSink,
        never_block: Sequence[Network] = (),
        load: PolicyLoader = Policy.load,
        make_trial_engine: Callable[[Policy], Engine] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        control: ControlWorker | None = None,
        trials: TrialWorker | None = None,
        kernel: KernelFilter | None = None,
        rule_files: RuleFiles | None = None,
        block_rows: BlockRows | None = None,
    ) -> None:
        """``paths`` are rule files and folders; ``make_trial_engine`` makes the temporary engine of a dry run.

        ``control`` runs the changes, ``trials`` what callers may ask for without changing anything; ``stop`` closes
        both. ``kernel`` is told of what is refused no longer. ``rule_files`` is the cache that reads the files.
        ``block_rows``: how blocks are stored, for a node of a fleet.
        """
        self._engine = engine
        self._sessions = sessions
        self._store = store
        self._events = events
        self._exempt_networks(never_block)
        self.control = control or ControlWorker()
        self._trial_worker = trials or TrialWorker()
        make_trial_engine = make_trial_engine or (lambda policy: Engine(policy, never_block=self._never_block))
        self._trials = Trials(engine, sessions.list, make_trial_engine, lambda: self._never_block, self._trial_worker)
        self._clock = clock
        self._kernel = kernel or NoKernelFilter()
        self._state = PolicyState(
            engine,
            sessions,
            store,
            paths,
            events=events,
            clock=clock,
            control=self.control,
            kernel=self._kernel,
            load=load,
            rule_files=rule_files,
        )
        self._lock = self._state.engine_lock
        self._editor = PolicyEditor(self._state, self._trials, self._reload_deferred)
        self._blocks = BlockList(engine, store, events, clock, self._lock, block_rows or OwnRows())
        expiry = RuleExpiry(self._state)
        self._scheduler = Scheduler(engine, sessions, events, self._lock, self.control, expiry)
        self.follower = PolicyFollower(self._state, self._editor)
        self._failure: PolicyReport | None = None
        self._outdated = False  # the failure is that of a change by another node
        self._deferred = False
        self._reloading: set[asyncio.Task[PolicyReport]] = set()

    async def start(self) -> None:
        """Put the rule files and the stored rules and blocks in force. Raises ``PolicyError``; then do not serve."""
        state = self._state
        async with state.changing():
            async with state.store.read() as unit:
                held, latest = await read_files_in_force(unit), await unit.revisions.latest()
                pending = await unit.revisions.pending()
            documents = await state.read_documents()
            try:
                new = await state.compile(held.follow_disk(await state.read_disk()), documents)
                await state.put_in_force(new)
            except (PolicyError, PlanError) as error:
                problems = _problems_of(error)
                self._note_failure(self._report(problems=problems))
                raise PolicyError(problems) from error
            edits = RuleEdits.between({}, documents) if latest is None else RuleEdits()
            state.version = 0 if latest is None else latest.number
            await self._note_start(Note("system", RevisionAction.START, rules=count_rules(new.policy)), edits)
        async with self._lock:
            await self._blocks.start()
        await self._editor.start(pending)
        state.report_held()
        self._emit_loaded("system", 0)
        self._scheduler.start()

    async def _note_start(self, note: Note, edits: RuleEdits) -> None:
        """A failure is only logged: a server with a full disk serves, and the next revision notes it too."""
        state = self._state
        try:
            async with state.store.write() as unit:
                row = await note_revision(unit, note, state.files, edits)
                version = state.version if row is None else row.number
                await unit.audit.add(note.by, "policy_reloaded", f"version {version}", rules=note.rules)
        except Exception as error:  # noqa: BLE001 - a full disk, for example: no fault of this program
            logger.warning("the revision of the start could not be written: %s", error)
        else:
            state.version = version

    async def stop(self) -> None:
        self._trial_worker.close()
        await self._editor.stop()
        for task in self._reloading:
            task.cancel()
        await asyncio.gather(*self._reloading, return_exceptions=True)
        await self._scheduler.stop()
        await self._blocks.stop()
        self.control.close()

    @property
    def blocks(self) -> BlockList:
        """The blocks in force, for reading."""
        return self._blocks

    @property
    def never_block(self) -> Sequence[Network]:
        """The networks that nothing may refuse."""
        return self._never_block

    async def set_never_block(self, networks: Sequence[Network]) -> None:
        """Exempt these networks instead. ``reload`` then disconnects clients that are refused without the exemption."""
        async with self._state.changing():
            await self.control.run(self._engine.set_never_block, networks)
            self._exempt_networks(networks)

    def _exempt_networks(self, networks: Sequence[Network]) -> None:
        self._never_block = tuple(networks)
        self._exempt = [_as_numbers(network) for network in networks]

    @property
    def policy(self) -> Policy:
        return self._state.policy

    @property
    def version(self) -> int:
        """The number of the policy's latest revision."""
        return self._state.version

    @property
    def editor(self) -> PolicyEditor:
        """Changes the policy for callers."""
        return self._editor

    def status(self) -> EnforcementStatus:
        """Returns what is in force, and the last reload if it failed."""
        state = self._state
        return EnforcementStatus(
            version=state.version,
            loaded_at=state.loaded_at,
            rules=count_rules(state.policy),
            files=tuple(sorted(state.files.files)),
            failure=self._failure,
            held=tuple(sorted(state.files.held)),
            confirm_by=None if state.pending is None else state.pending.confirm_by,
            changed_files=self._deferred,
        )

    async def add_block(
        self,
        cidr: str | Network,
        reason: str,
        ttl: float | None,
        by: str,
        *,
        dry_run: bool = False,
        force: bool = False,
        own: Sequence[Address] = (),
    ) -> BlockReport:
        """Block a network for ``ttl`` seconds, or without end (``None``).

        A network that is blocked already keeps its block; a later end extends it, an earlier one changes nothing.
        It is in force whether the store can be written or not; the report says whether it was.
        Without ``force`` a block is refused that covers an address of ``own`` (the caller's), or very much.
        Raises ``ApiError``; ``ValueError`` if ``cidr`` is not a network.
        """
        network = parse_network(cidr)
        self._refuse_exempt(network)
        now = self._clock.wall()
        expires_at = None if ttl is None else now + timedelta(seconds=ttl)
        if dry_run:
            affected = len(self._sessions.affected_by(network))
            return BlockReport(None, network, reason, by, now, expires_at, affected, created=False)
        if not force:
            refuse_lockout(network, own, self._sessions.list())
            refuse_wide(network)
            refuse_large_cut(len(self._sessions.affected_by(network)))
        async with self._lock:
            change = self._blocks.add_block(network, reason, expires_at, by)
            cut = await self._reassess() if change.changed else 0
        if change.changed:
            self._events.emit(
                ApiEvent.BLOCK_ADDED, id=change.block.id, cidr=str(network), reason=reason, by=by, sessions_cut=cut
            )
        return self._report_block(network, change, cut, stored=await self._blocks.settle(change.block.id))

    def import_blocks(self, options: ImportOptions) -> BlockImport:
        """Returns an import of many blocks, for one caller."""
        return BlockImport(self._state, self._blocks, self._refuse_exempt, self._clock, options)

    async def remove_block(self, id_or_cidr: str, by: str) -> RemovalReport | None:
        """Remove a block, whether the store can be written or not. Returns ``None`` if there is none."""
        async with self._lock:
            block = self._blocks.remove_block(id_or_cidr, by)
        if block is None:
            return None
        await self._kernel.lift()
        self._events.emit(ApiEvent.BLOCK_REMOVED, id=block.id, cidr=block.cidr, by=by)
        return RemovalReport(block.id, block.cidr, stored=await self._blocks.settle(block.id))

    async def follow_blocks(self, entries: Sequence[BlockEntry], gone: Iterable[str] = ()) -> None:
        """Put blocks of other nodes in force, and withdraw those that are gone."""
        await self._take_blocks(lambda: self._blocks.follow(entries, gone))

    async def compare_blocks(self, stored: Sequence[BlockEntry], *, restored: bool) -> None:
        """Take over all blocks of the store. With ``restored`` none that is in force here is lifted."""
        await self._take_blocks(lambda: self._blocks.compare(stored, restored=restored))

    async def _take_blocks(self, take: Callable[[], Followed]) -> None:
        async with self._lock:
            done = take()
            cut = await self._reassess() if done.added else 0
        if done.removed:
            await self._kernel.lift()
        if done != Followed():
            self._events.emit(
                ApiEvent.FLEET_BLOCKS_TAKEN,
                added=done.added,
                removed=done.removed,
                left_out=done.left_out,
                sessions_cut=cut,
            )

    async def reload(
        self,
        *,
        by: str = "system",
        dry_run: bool = False,
        automatic: bool = False,
        everywhere: bool = False,
        reason: str = "",
    ) -> PolicyReport:
        """Put the rule files on disk in force. Files with an error are reported and change nothing.

        ``automatic``: no operator asked for it. Held files stay held then, and while a policy waits to be confirmed,
        the reload waits too; otherwise it is refused with ``ApiError``. ``everywhere``: on all nodes of a fleet, each
        with the files of its own disk, or on none.
        """
        state = self._state
        if dry_run:
            return await self._examine(state.loader_of_disk(await state.read_documents()))
        if everywhere and state.rollout.shared:
            return await self._reload_everywhere(by, reason)
        async with state.changing():
            if state.pending is not None:
                if not automatic:
                    detail = f"Version {state.pending.version} waits to be confirmed; confirm it or roll it back"
                    raise ApiError(ProblemKind.CONFIRMATION_PENDING, detail)
                self._deferred = True
                return self._report(state.policy)
            try:
                disk = await state.read_disk()
                advance(1, RELOAD_STEPS)
                files = state.files.follow_disk(disk) if automatic else RuleFileSet(disk)
                new = await state.compile(files, await state.read_documents())
                advance(2, RELOAD_STEPS)
                pass_no_return()
                await state.put_in_force(new)
                advance(3, RELOAD_STEPS)
            except (PolicyError, PlanError) as error:
                report = self._report(problems=_problems_of(error))
                self._note_failure(report)
                return report
            self._failure = None
            cut = await state.reassess()
            await state.note(Note(by, RevisionAction.FILES, reason, count_rules(new.policy)))
        self._emit_loaded(by, cut)
        return self._report(new.policy, cut=cut)

    async def _reload_everywhere(self, by: str, reason: str) -> PolicyReport:
        try:
            done = await self._editor.apply(Application(by, reason=reason, force=True))
        except (PolicyError, PlanError) as error:
            problems = _problems_of(error)
            self._events.emit(ApiEvent.POLICY_REFUSED, problems=[str(problem) for problem in problems])
            return self._report(problems=problems)
        self._failure, self._outdated = None, False
        self._emit_loaded(by, done.sessions_cut)
        return self._report(self._state.policy, cut=done.sessions_cut)

    def share(self, rollout: Rollout) -> None:
        """Change the policy together with the other nodes of a fleet from now on."""
        self._state.rollout = rollout

    async def follow_policy(self, prepared: Prepared | None) -> bool:
        """Put in force what another node has changed. False: it cannot be used here, and the earlier policy stays."""
        try:
            cut = await self.follower.activate(prepared)
        except (PolicyError, PlanError) as error:
            self._note_failure(self._report(problems=_problems_of(error)))
            self._outdated = True
            return False
        if self._outdated:
            self._failure, self._outdated = None, False
        self._emit_loaded(BY, cut)
        return True

    async def compare_disk(self) -> tuple[Mapping[str, RuleFile], Mapping[str, RuleFile]]:
        """Returns the rule files in force, and those on disk. Raises ``PolicyError``."""
        return self._state.files.files, await self._state.read_disk()

    async def refresh_lists(self, by: str) -> PolicyReport:
        """Put new block lists and databases in force, with the rule files as they are.

        Rule files that were refused are read again: a list whose first copy is there now may have been missing.
        """
        if self._failure is not None:
            return await self.reload(by=by, automatic=True)
        state = self._state
        async with state.changing():
            try:
                new = await self._editor.canary.compile_in_force()
                await state.put_in_force(new)
            except (PolicyError, PlanError) as error:
                report = self._report(problems=_problems_of(error))
                self._note_failure(report)
                return report
            cut = await state.reassess()
            await state.note(Note(by, RevisionAction.FILES, rules=count_rules(new.policy)))
        self._emit_loaded(by, cut)
        return self._report(new.policy, cut=cut)

    def _reload_deferred(self) -> None:
        """Load the files that changed while a policy waited to be confirmed."""
        if self._deferred:
            self._deferred = False
            task = asyncio.create_task(self.reload(by="file watcher", automatic=True), name="a deferred reload")
            self._reloading.add(task)
            task.add_done_callback(self._reloading.discard)

    def _emit_loaded(self, by: str, cut: int) -> None:
        state = self._state
        rules = count_rules(state.policy)
        self._events.emit(ApiEvent.POLICY_LOADED, version=state.version, rules=rules, by=by, sessions_cut=cut)

    async def check(self, documents: Mapping[str, Mapping[str, Any]]) -> PolicyReport:
        """Report on a policy of these documents alone. Changes nothing. Raises ``ApiError`` if too many checks wait."""
        return await self._examine(self._state.loader_of_documents(documents))

    async def simulate(
        self, documents: Mapping[str, Mapping[str, Any]] | None, decisions: Sequence[Decision]
    ) -> tuple[PolicyReport, list[Change]]:
        """Returns the ``decisions`` that a policy of these documents (``None``: the present rules) would change.

        Raises ``ApiError`` if too many checks wait.
        """
        state = self._state
        if documents is None:
            load = state.loader_of_disk(await state.read_documents())
        else:
            load = state.loader_of_documents(documents)
        try:
            policy, changes = await self._trials.simulate(load, decisions)
        except (PolicyError, PlanError) as error:
            return self._report(problems=_problems_of(error)), []
        return self._report(policy), changes

    async def change_rule(self, change: RuleChange) -> SavedRule:
        """See ``PolicyEditor.change_rule``."""
        return await self._editor.change_rule(change)

    async def _reassess(self) -> int:
        return len(await self._sessions.reassess())

    def _refuse_exempt(self, network: Network) -> None:
        first = int(network.network_address)  # compared as numbers: an import asks for each of a million lines
        for version, length, shift, prefix, exempt in self._exempt:
            if version == network.version and length <= network.prefixlen and first >> shift == prefix:
                raise ApiError(ProblemKind.NEVER_BLOCKED, f"{network} is inside {exempt}, which never_block exempts")

    def _report_block(self, network: Network, change: BlockChange, cut: int, *, stored: bool) -> BlockReport:
        block = change.block
        verdict = self._engine.explain(network.network_address).verdict
        overridden = verdict.rule_id if verdict.accepted and verdict.rule_id != block_rule_id(block.id) else None
        return BlockReport(
            id=block.id,
            cidr=network,
            reason=block.reason,
            created_by=block.created_by,
            created_at=block.created_at,
            expires_at=block.expires_at,
            sessions_cut=cut,
            created=change.created,
            overridden_by=overridden,
            stored=stored,
        )

    async def _examine(self, load: Callable[[], Policy]) -> PolicyReport:
        """Report what a policy would disconnect, its warnings, and its failed tests. Takes no lock of changes."""
        try:
            trial = await self._trials.examine(load)
        except (PolicyError, PlanError) as error:
            return self._report(problems=_problems_of(error))
        return self._report(trial.policy, cut=len(trial.cut), findings=trial.findings)

    def _report(
        self,
        policy: Policy | None = None,
        *,
        cut: int = 0,
        problems: tuple[Problem, ...] = (),
        findings: tuple[Finding, ...] = (),
    ) -> PolicyReport:
        rules = 0 if policy is None else count_rules(policy)
        return PolicyReport(self._clock.wall(), self._state.version, rules, cut, problems, findings)

    def _note_failure(self, report: PolicyReport) -> None:
        self._failure = report
        first = report.problems[0] if report.problems else None
        logger.error(
            "the policy was refused, the earlier one stays in force: %d problems, first: %s",
            len(report.problems),
            first,
        )
        self._events.emit(ApiEvent.POLICY_REFUSED, problems=[str(problem) for problem in report.problems])


def _problems_of(error: PolicyError | PlanError) -> tuple[Problem, ...]:
    return error.problems if isinstance(error, PolicyError) else (Problem("", "", str(error)),)


def _as_numbers(network: Network) -> tuple[int, int, int, int, Network]:
    """Returns version, prefix length, bits behind the prefix, the prefix as a number, and the network."""
    shift = network.max_prefixlen - network.prefixlen
    return network.version, network.prefixlen, shift, int(network.network_address) >> shift, network
