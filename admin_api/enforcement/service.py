# SPDX-License-Identifier: GPL-3.0-or-later
"""The only module that changes the policy in force, for the API, the Unix socket, the file watcher and SIGHUP.

One lock serialises changes of the policy. Each is atomic: compile, put into the engine, commit to the store. If the
commit fails, the engine gets the earlier policy back. When a change returns, it applies to new sources, and every live
session that it refuses has been disconnected. Changes run on threads of their own (``workers``), and wait for no trial.

A second lock serialises what changes the engine, blocks included. It is never held while the store is waited for or a
policy is compiled: neither holds up a block.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from admin_api.clock import SYSTEM_CLOCK, Clock
from admin_api.enforcement.api_rules import (
    RuleChange,
    as_documents,
    count_rules,
    hide_logins,
    keep_login,
    point_into_rule,
)
from admin_api.enforcement.blocks import BlockChange, BlockList, block_rule_id
from admin_api.enforcement.kernel_filter import KernelFilter, NoKernelFilter
from admin_api.enforcement.reports import BlockReport, EnforcementStatus, PolicyReport, RemovalReport
from admin_api.enforcement.safeguards import (
    MAX_CUT,
    add_tunnel_sources,
    lockout,
    refuse_large_cut,
    refuse_lockout,
    refuse_wide,
)
from admin_api.enforcement.scheduler import Scheduler
from admin_api.enforcement.trials import Trials
from admin_api.http.problems import ApiError, ProblemKind
from admin_api.http.values import parse_network
from admin_api.log_events import ApiEvent
from admin_api.workers import ControlWorker, TrialWorker
from sentry_engine import (
    Action,
    Engine,
    Finding,
    PlanError,
    Policy,
    PolicyError,
    Problem,
)
from vpn_frontend.settings import Address, Network

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from admin_api.ports import LiveSessions, PolicyLoader
    from admin_api.store import Store, UnitOfWork
    from admin_api.store.tables import Rule
    from sentry_engine.engine.decision_log import Decision
    from sentry_engine.engine.replay import Change
    from vpn_frontend.ports import EventSink

MAX_RULES = 10_000  # made over the API; each change of one compiles all of them

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
    ) -> None:
        """``paths`` are rule files and folders; ``make_trial_engine`` makes the temporary engine of a dry run.

        ``control`` runs the changes, ``trials`` what callers may ask for without changing anything; ``stop`` closes
        both. ``kernel`` is told of what is refused no longer.
        """
        self._engine = engine
        self._sessions = sessions
        self._store = store
        self._paths = tuple(map(str, paths))
        self._events = events
        self._never_block = tuple(never_block)
        self._load = load
        self._control = control or ControlWorker()
        self._trial_worker = trials or TrialWorker()
        make_trial_engine = make_trial_engine or (lambda policy: Engine(policy, never_block=self._never_block))
        self._trials = Trials(engine, sessions.list, make_trial_engine, self._never_block, self._trial_worker)
        self._clock = clock
        self._kernel = kernel or NoKernelFilter()
        self._policy_lock = asyncio.Lock()
        self._lock = asyncio.Lock()  # of the engine
        self._blocks = BlockList(engine, store, events, clock, self._lock)
        self._scheduler = Scheduler(engine, sessions, store, events, clock, self._lock, self._control)
        self._policy = engine.policy
        self._version = 1
        self._loaded_at = clock.wall()
        self._failure: PolicyReport | None = None

    async def start(self) -> None:
        """Put the rule files and the stored rules and blocks in force. Raises ``PolicyError``; then do not serve."""
        report = await self.reload()
        if not report.valid:
            raise PolicyError(report.problems)
        async with self._lock:
            await self._blocks.start()
        self._scheduler.start()

    async def stop(self) -> None:
        self._trial_worker.close()
        await self._scheduler.stop()
        await self._blocks.stop()
        self._control.close()

    @property
    def blocks(self) -> BlockList:
        """The blocks in force, for reading."""
        return self._blocks

    @property
    def policy(self) -> Policy:
        return self._policy

    def status(self) -> EnforcementStatus:
        """Returns what is in force, and the last reload if it failed."""
        return EnforcementStatus(
            version=self._version,
            loaded_at=self._loaded_at,
            rules=count_rules(self._policy),
            files=self._policy.files,
            failure=self._failure,
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

    async def remove_block(self, id_or_cidr: str, by: str) -> RemovalReport | None:
        """Remove a block, whether the store can be written or not. Returns ``None`` if there is none."""
        async with self._lock:
            block = self._blocks.remove_block(id_or_cidr, by)
        if block is None:
            return None
        await self._kernel.lift()
        self._events.emit(ApiEvent.BLOCK_REMOVED, id=block.id, cidr=block.cidr, by=by)
        return RemovalReport(block.id, block.cidr, stored=await self._blocks.settle(block.id))

    async def reload(self, *, by: str = "system", dry_run: bool = False) -> PolicyReport:
        """Reload the rule files and the API's rules. A policy with an error is reported and changes nothing."""
        if dry_run:
            return await self._examine(await self._loader_of_files())
        async with self._change_of_policy():
            try:
                policy = await self._control.run(await self._loader_of_files())
                async with self._lock:
                    await self._put_in_force(policy)
                    cut = await self._reassess()
            except (PolicyError, PlanError) as error:
                report = self._report(problems=_problems_of(error))
                self._note_failure(report)
                return report
            await self._note_reload(by)
        self._events.emit(
            ApiEvent.POLICY_LOADED, version=self._version, rules=count_rules(policy), by=by, sessions_cut=cut
        )
        return self._report(policy, cut=cut)

    async def check(self, documents: Mapping[str, Mapping[str, Any]]) -> PolicyReport:
        """Report on a policy of these documents alone. Changes nothing. Raises ``ApiError`` if too many checks wait."""
        return await self._examine(partial(self._load, documents=documents))

    async def simulate(
        self, documents: Mapping[str, Mapping[str, Any]] | None, decisions: Sequence[Decision]
    ) -> tuple[PolicyReport, list[Change]]:
        """Returns the ``decisions`` that a policy of these documents (``None``: the present rules) would change.

        Raises ``ApiError`` if too many checks wait.
        """
        load = await self._loader_of_files() if documents is None else partial(self._load, documents=documents)
        try:
            policy, changes = await self._trials.simulate(load, decisions)
        except (PolicyError, PlanError) as error:
            return self._report(problems=_problems_of(error)), []
        return self._report(policy), changes

    async def change_rule(self, change: RuleChange) -> tuple[Rule | None, int]:
        """Returns the changed rule (``None``: removed), and how many sessions were, or would be, disconnected.

        Raises ``PolicyError`` for an invalid rule and ``ApiError`` for one that needs force; then nothing has changed.
        """
        async with self._change_of_policy():
            async with self._store.read() as unit:
                rows = {row.id: row for row in await unit.rules.read_all()}
            row = rows.get(change.id)
            change.expect(row)
            if row is None and len(rows) >= MAX_RULES:
                raise ApiError(
                    ProblemKind.TABLE_FULL, f"There are {MAX_RULES} rules made over the API; write a rule file"
                )
            if row is not None and change.document is not None:
                change = replace(change, document=keep_login(change.document, row.document))
            documents = {name: other.document for name, other in rows.items() if name != change.id}
            if change.document is not None:
                documents[change.id] = change.document
            try:
                policy = await self._control.run(self._loader_of(documents))
            except PolicyError as error:
                raise point_into_rule(error, change.id) from error
            if change.dry_run:
                return row, len(await self._control.run(self._trials.find_cut, policy))
            if not change.force:
                await self._refuse_harm(policy, [] if change.own is None else [change.own])
            row = await self._commit_rule(change, policy)
            async with self._lock:
                cut = await self._reassess()
        self._events.emit(ApiEvent.RULE_CHANGED, id=change.id, by=change.by, removed=row is None, sessions_cut=cut)
        return row, cut

    async def _refuse_harm(self, policy: Policy, own: Sequence[Address]) -> None:
        """Raises ``ApiError`` if ``policy`` needs force: it refuses an address of ``own``, or disconnects many."""
        views = self._sessions.list()
        for address in add_tunnel_sources(own, views):
            if self._engine.explain(address).verdict.action is Action.REJECT:
                continue  # refused already: the change does not lock the caller out
            if await self._control.run(self._trials.refuses, policy, address):
                raise lockout("The change", address)
        if len(views) > MAX_CUT:
            refuse_large_cut(len(await self._control.run(self._trials.find_cut, policy)))

    async def _commit_rule(self, change: RuleChange, policy: Policy) -> Rule | None:
        before = self._policy
        try:
            async with self._store.write() as unit:
                row = await unit.rules.get(change.id)
                action = "rule_removed" if change.document is None else "rule_added" if row is None else "rule_replaced"
                row = await _write_rule(unit, change, row)
                await unit.audit.add(
                    change.by, action, change.id, document=change.document and hide_logins(change.document)
                )
                async with self._lock:
                    await self._put_in_force(policy)
        except BaseException:
            if self._policy is not before:
                async with self._lock:
                    await self._put_in_force(before)
            raise
        return row

    @asynccontextmanager
    async def _change_of_policy(self) -> AsyncIterator[None]:
        """Holds the lock of changes of the policy. The kernel follows after it, while no lock is held."""
        before = self._version
        try:
            async with self._policy_lock:
                yield
        finally:
            if self._version != before:
                await self._kernel.lift()

    async def _loader_of_files(self) -> Callable[[], Policy]:
        """Returns what compiles the rule files and the API's rules."""
        async with self._store.read() as unit:
            return self._loader_of({row.id: row.document for row in await unit.rules.read_all()})

    def _loader_of(self, documents: Mapping[str, Mapping[str, Any]]) -> Callable[[], Policy]:
        return partial(self._load, *self._paths, documents=as_documents(documents.items()))

    async def _put_in_force(self, policy: Policy) -> None:
        await self._control.run(self._engine.swap, policy)
        self._policy = policy
        self._version += 1
        self._loaded_at = self._clock.wall()
        self._failure = None

    async def _reassess(self) -> int:
        return len(await self._sessions.reassess())

    def _refuse_exempt(self, network: Network) -> None:
        for exempt in self._never_block:
            if exempt.version == network.version and network.subnet_of(exempt):  # type: ignore[arg-type]
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
        return PolicyReport(self._clock.wall(), self._version, rules, cut, problems, findings)

    async def _note_reload(self, by: str) -> None:
        """Write the audit row of a reload. A failure is only logged: the policy is in force."""
        try:
            async with self._store.write() as unit:
                await unit.audit.add(by, "policy_reloaded", f"version {self._version}", rules=count_rules(self._policy))
        except Exception:
            logger.exception("the audit row of a reload could not be written")

    def _note_failure(self, report: PolicyReport) -> None:
        self._failure = report
        first = report.problems[0] if report.problems else None
        logger.error(
            "the policy was refused, the earlier one stays in force: %d problems, first: %s",
            len(report.problems),
            first,
        )
        self._events.emit(ApiEvent.POLICY_REFUSED, problems=[str(problem) for problem in report.problems])


async def _write_rule(unit: UnitOfWork, change: RuleChange, row: Rule | None) -> Rule | None:
    """Returns the row after the change; ``None`` if it was removed."""
    if change.document is None:
        if row is not None:
            await unit.rules.remove(row)
        return None
    if row is None:
        return await unit.rules.add(change.id, change.document, created_by=change.by)
    await unit.rules.replace(row, change.document)
    return row


def _problems_of(error: PolicyError | PlanError) -> tuple[Problem, ...]:
    return error.problems if isinstance(error, PolicyError) else (Problem("", "", str(error)),)
