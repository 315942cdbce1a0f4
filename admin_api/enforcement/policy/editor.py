# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of the policy by callers: one rule, all rules of the API, the rule files, or an earlier version.

An applied policy may have to be confirmed. Without confirmation it is rolled back by itself, also after a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from admin_api.enforcement.api_rules import (
    RuleChange,
    SavedRule,
    count_rules,
    hide_logins,
    keep_login,
    point_into_rule,
)
from admin_api.enforcement.policy.canary import OTHERS_FIRST, CanaryEditor, describe
from admin_api.enforcement.policy.changes import Application, NewPolicy, Pending, Plan, PlanKind
from admin_api.enforcement.policy.preparation import Preparation
from admin_api.enforcement.policy.revisions import (
    RULES,
    Documents,
    Note,
    Outcome,
    RevisionAction,
    RuleEdits,
    lacks_content,
    read_earlier,
    write_rules,
)
from admin_api.enforcement.policy.rule_file_set import RuleFileSet
from admin_api.enforcement.policy.safeguards import MAX_CUT, add_tunnel_sources, lockout, refuse_large_cut
from admin_api.enforcement.reports import AppliedReport
from admin_api.http.problems import ApiError, ProblemKind
from admin_api.log_events import ApiEvent
from admin_api.progress import advance, pass_no_return
from sentry_engine import Action, Policy, PolicyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admin_api.enforcement.policy.state import PolicyState
    from admin_api.enforcement.policy.trials import Trials
    from admin_api.store import UnitOfWork
    from admin_api.store.tables import PolicyRevision, Rule
    from vpn_frontend.settings import Address

MAX_RULES = 10_000  # made over the API; each change of one compiles all of them
MAX_CONFIRM_WITHIN = 3_600.0  # seconds
APPLY_STEPS = 4  # read, compiled, found harmless, in force
RETRY = 5.0  # seconds until a failed rollback is tried again
SERVER = "system"  # who rolls back without a request

logger = logging.getLogger(__name__)


class PolicyEditor:
    """Every change takes the lock of policies. Call ``start`` once the policy is in force."""

    def __init__(self, state: PolicyState, trials: Trials, reload_deferred: Callable[[], object]) -> None:
        """``reload_deferred`` is called when a pending policy is settled, for the files that changed meanwhile."""
        self._state = state
        self._trials = trials
        self._reload_deferred = reload_deferred
        self._watching: asyncio.Task[None] | None = None
        self.preparation = Preparation(state)
        self.canary = CanaryEditor(state, self.preparation, self._watch, self._settle_pending)

    async def start(self, pending: PolicyRevision | None) -> None:
        """Roll back a policy whose time to be confirmed ended while the server was down, or wait for its end."""
        if pending is None or pending.confirm_by is None:
            return
        clock = self._state.clock
        left = min((pending.confirm_by - clock.wall()).total_seconds(), MAX_CONFIRM_WITHIN)
        self._state.pending = Pending(pending.number, pending.confirm_by, clock.monotonic() + left, pending.actor)
        if left <= 0:
            try:
                await self.roll_back_pending()
            except Exception:
                logger.exception("an unconfirmed policy could not be rolled back at the start; it is tried again")
        if self._state.pending is not None:
            self._watch()

    async def stop(self) -> None:
        await self._unwatch()

    async def follow_pending(self, stored: PolicyRevision | None) -> None:
        """Another node of a fleet has applied a policy that waits to be confirmed, or settled the one that did."""
        state = self._state
        known = state.pending
        if known is not None and known.canary is None and (stored is None or stored.number != known.version):
            await self._settle_pending()
        if stored is not None and stored.confirm_by is not None and state.pending is None:
            deadline = state.clock.deadline(stored.confirm_by) + OTHERS_FIRST
            state.pending = Pending(stored.number, stored.confirm_by, deadline, stored.actor)
            self._watch()

    async def change_rule(self, change: RuleChange) -> SavedRule:
        """Add, replace or remove one rule.

        The rule files in force stay as they are, whatever is on disk. Raises ``PolicyError`` for an invalid rule and
        ``ApiError`` for one that needs force; then nothing has changed.
        """
        state = self._state
        async with state.changing_everywhere(dry_run=change.dry_run):
            self._refuse_pending()
            async with state.store.read() as unit:
                rows = {row.id: row for row in await unit.rules.read_all()}
            row = rows.get(change.id)
            change = change.settle(row)
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
                new = await state.compile(state.files, documents)
            except PolicyError as error:
                raise point_into_rule(error, change.id) from error
            if change.dry_run:
                cut = len(await state.control.run(self._trials.find_cut, new.policy))
                return SavedRule(None, change.document, cut)
            if not change.force:
                await self._refuse_harm(new.policy, change.own)
            changed: list[Rule | None] = []

            async def write(unit: UnitOfWork) -> None:
                changed.append(await _write_rule(unit, change))

            before = None if row is None else row.document
            edits = RuleEdits({change.id: before}, {change.id: change.document})
            note = Note(change.by, _action_of(change, row), change.reason, count_rules(new.policy))
            plan = Plan(PlanKind.RULES, change.by, edits.after)
            await state.replace_policy(new, plan, note, edits if before != change.document else RuleEdits(), write)
            cut = await state.reassess()
        row = changed[0]
        state.events.emit(ApiEvent.RULE_CHANGED, id=change.id, by=change.by, removed=row is None, sessions_cut=cut)
        return SavedRule(row, change.document, cut)

    async def apply(self, wanted: Application) -> AppliedReport:
        """Put the rule files on disk, or ``wanted.rules``, in force. Raises ``PolicyError`` or ``ApiError``."""
        state = self._state
        async with state.changing_everywhere(dry_run=wanted.dry_run):
            self._refuse_pending()
            wanted.expect(state.version)
            if wanted.canary:
                await self.canary.check(wanted)
            before = await state.read_documents()
            if wanted.rules is None:
                files, after = RuleFileSet(await state.read_disk()), before
            else:
                files = state.files
                after = {name: keep_login(doc, before.get(name, {})) for name, doc in wanted.rules.items()}
            if len(after) > MAX_RULES:
                raise ApiError(ProblemKind.TABLE_FULL, f"{len(after)} rules are more than {MAX_RULES}")
            kind = PlanKind.FILES if wanted.rules is None else PlanKind.RULES
            plan = Plan(kind, wanted.by, RuleEdits.between(before, after).after)
            return await self._carry_out(wanted, plan, RevisionAction.APPLIED, files, before, after)

    async def roll_back(self, wanted: Application) -> AppliedReport:
        """Return to ``wanted.version``, by default the one before. Raises ``PolicyError`` or ``ApiError``."""
        if self.canary.running is None:  # one is withdrawn at once, without a turn of the fleet
            async with self._state.changing_everywhere(dry_run=wanted.dry_run):
                if self.canary.running is None:
                    return await self._roll_back(wanted)
        return await self.canary.roll_back(wanted)

    async def _roll_back(self, wanted: Application) -> AppliedReport:
        state = self._state
        wanted.expect(state.version)
        before = await state.read_documents()
        number = wanted.version
        if number is None:
            number = (state.pending.version if state.pending else state.version) - 1
        async with state.store.read() as unit:
            earlier = await read_earlier(unit, number, state.version, state.files, before)
        edits = RuleEdits.between(before, earlier.documents)
        plan = Plan(PlanKind.VERSION, wanted.by, edits.after, number)
        report = await self._carry_out(
            wanted, plan, RevisionAction.ROLLED_BACK, earlier.files, before, earlier.documents
        )
        if not wanted.dry_run:
            state.events.emit(ApiEvent.POLICY_ROLLED_BACK, version=report.version, to=number, by=wanted.by)
            state.report_held()
        return report

    async def confirm(self, by: str) -> int:
        """Keep the pending policy. Returns its version. Raises ``ApiError`` if there is none."""
        state = self._state
        async with state.changing_everywhere():
            pending = state.pending
            if pending is None:
                raise ApiError(ProblemKind.NOTHING_TO_CONFIRM, "No applied policy waits to be confirmed")
            if pending.canary is not None:
                version = await self.canary.confirm(by)
                state.events.emit(ApiEvent.POLICY_CONFIRMED, version=version, by=by)
                return version
            async with state.store.write() as unit:
                await unit.revisions.settle(pending.version, Outcome.CONFIRMED)
                await unit.audit.add(by, "policy_confirmed", f"version {pending.version}")
                unit.changes.note(RULES, "", noted=pending.version)
            await self._settle_pending()
        state.events.emit(ApiEvent.POLICY_CONFIRMED, version=pending.version, by=by)
        return pending.version

    async def roll_back_pending(self) -> None:
        """Roll back the pending policy, because it was not confirmed in time.

        A fleet does so together; a node that cannot reach it does so for itself, and raises what the fleet said.
        """
        state = self._state
        if self.canary.running is not None:
            await self.canary.withdraw_overdue()
            return
        if not state.rollout.shared:
            async with state.changing():
                await self._withdraw_pending()  # at once: the store may be away
                await self._roll_back_overdue()
            return
        try:
            async with state.changing_everywhere():
                await self._roll_back_overdue()  # nothing, if another node has done it
        except Exception:
            async with state.changing():
                await self._withdraw_pending()
            raise

    async def _withdraw_pending(self) -> None:
        state, pending = self._state, self._state.pending
        if pending is not None and pending.before is not None and state.policy is not pending.before.policy:
            await state.put_in_force(pending.before)
            await state.reassess()

    async def _roll_back_overdue(self) -> None:
        pending = self._state.pending
        if pending is not None:
            moment = pending.confirm_by.isoformat(timespec="seconds")
            reason = f"version {pending.version} was not confirmed by {moment}"
            await self._roll_back(Application(SERVER, reason=reason, force=True))

    async def _carry_out(
        self,
        wanted: Application,
        plan: Plan,
        action: RevisionAction,
        files: RuleFileSet,
        before: Documents,
        after: Documents,
    ) -> AppliedReport:
        state = self._state
        advance(1, APPLY_STEPS)
        new = await state.compile(files, after)
        advance(2, APPLY_STEPS)
        if wanted.dry_run:
            cut = len(await state.control.run(self._trials.find_cut, new.policy))
            return AppliedReport(state.version, count_rules(new.policy), cut, None)
        if not wanted.force:
            # A policy that must be confirmed may lock its caller out: it is rolled back then.
            await self._refuse_harm(new.policy, wanted.own if wanted.confirm_within is None else ())
        if wanted.canary:
            return await self.canary.begin(wanted, plan, new)
        confirm_by = None
        if wanted.confirm_within is not None:
            if (name := lacks_content(state.files, files)) is not None:
                detail = f"{name} is too large to be rolled back; apply it without confirm_within"
                raise ApiError(ProblemKind.CONTENT_NOT_KEPT, detail)
            confirm_by = state.clock.wall() + timedelta(seconds=wanted.confirm_within)
        edits = RuleEdits.between(before, after)
        earlier, pending = NewPolicy(state.policy, state.files), state.pending

        async def write(unit: UnitOfWork) -> None:
            await write_rules(unit, edits, wanted.by)
            if pending is not None:
                await unit.revisions.settle(pending.version, Outcome.ROLLED_BACK)
            await unit.audit.add(wanted.by, f"policy_{action}", wanted.reason, rules=count_rules(new.policy))

        note = Note(wanted.by, action, wanted.reason, count_rules(new.policy), confirm_by)
        advance(3, APPLY_STEPS)
        pass_no_return()
        version = await state.replace_policy(new, plan, note, edits, write)
        if pending is not None:
            await self._settle_pending()
        if version is None:
            confirm_by = None  # the policy was in force already
        elif confirm_by is not None:
            deadline = state.clock.deadline(confirm_by)
            state.pending = Pending(version, confirm_by, deadline, wanted.by, earlier)
            self._watch()
        cut = await state.reassess()
        if action is RevisionAction.APPLIED:
            until = confirm_by and confirm_by.isoformat()
            state.events.emit(
                ApiEvent.POLICY_APPLIED, version=state.version, by=wanted.by, sessions_cut=cut, confirm_by=until
            )
        return AppliedReport(state.version, count_rules(new.policy), cut, confirm_by)

    async def _refuse_harm(self, policy: Policy, own: Sequence[Address]) -> None:
        """Raises ``ApiError`` if ``policy`` needs force: it refuses an address of ``own``, or disconnects many."""
        state = self._state
        views = state.sessions.list()
        for address in add_tunnel_sources(own, views):
            if state.engine.explain(address).verdict.action is Action.REJECT:
                continue  # refused already: the change does not lock the caller out
            if await state.control.run(self._trials.refuses, policy, address):
                raise lockout("The change", address)
        if len(views) > MAX_CUT:
            refuse_large_cut(len(await state.control.run(self._trials.find_cut, policy)))

    def _refuse_pending(self) -> None:
        pending = self._state.pending
        if pending is not None:
            what = f"Version {pending.version} by {pending.by} waits to be confirmed"
            what = what if pending.canary is None else describe(pending.canary)
            raise ApiError(ProblemKind.CONFIRMATION_PENDING, f"{what}; confirm it or roll it back")

    async def _settle_pending(self) -> None:
        self._state.pending = None
        await self._unwatch()
        self._reload_deferred()

    def _watch(self) -> None:
        self._watching = asyncio.create_task(self._roll_back_at_the_end(), name="confirmation of a policy")

    async def _unwatch(self) -> None:
        watching, self._watching = self._watching, None
        if watching is not None and watching is not asyncio.current_task():
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def _roll_back_at_the_end(self) -> None:
        state = self._state
        while (pending := state.pending) is not None:
            await asyncio.sleep(max(pending.deadline - state.clock.monotonic(), 0))
            try:
                await self.roll_back_pending()
            except Exception as error:
                logger.exception("an unconfirmed policy could not be rolled back")
                state.events.emit(ApiEvent.POLICY_ROLLBACK_FAILED, version=pending.version, error=str(error))
                if state.pending is None:
                    return  # a canary that is over for all, though the others were not told
                await asyncio.sleep(RETRY)


def _action_of(change: RuleChange, row: Rule | None) -> RevisionAction:
    if change.document is None:
        return RevisionAction.RULE_REMOVED
    return RevisionAction.RULE_ADDED if row is None else RevisionAction.RULE_REPLACED


async def _write_rule(unit: UnitOfWork, change: RuleChange) -> Rule | None:
    """Returns the row after the change; ``None`` if it was removed."""
    row = await unit.rules.get(change.id)
    document = change.document
    await unit.audit.add(
        change.by, _action_of(change, row).value, change.id, document=document and hide_logins(document)
    )
    if document is None:
        if row is not None:
            await unit.rules.remove(row)
        return None
    if row is None:
        return await unit.rules.add(change.id, document, created_by=change.by)
    await unit.rules.replace(row, document)
    return row
