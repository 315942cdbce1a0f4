# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy that is tried on some nodes of a fleet first: on all of them once it is confirmed, or else on none.

    agree: every live node compiles it ── begin: in force on the named nodes
        ├── confirm: a change of the policy, on all nodes
        ├── withdraw: the policy before it, at once
        └── its time is over: the same, by each node alone

The database keeps the policy before it until the canary is confirmed. So a node that starts meanwhile serves with that
one, and a node of the canary needs neither the database nor another node to return to it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from admin_api.enforcement.api_rules import count_rules
from admin_api.enforcement.policy.changes import NewPolicy, Pending
from admin_api.enforcement.policy.revisions import Note, RevisionAction, RuleEdits, write_rules
from admin_api.enforcement.reports import AppliedReport
from admin_api.http.problems import ApiError, ProblemKind, invalid_value, unavailable
from admin_api.log_events import ApiEvent
from admin_api.store.audit import SYSTEM
from admin_api.store.failures import is_unavailable
from sentry_engine import PlanError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Any

    from admin_api.enforcement.policy.changes import Application, Canary, Plan, Prepared
    from admin_api.enforcement.policy.preparation import Preparation
    from admin_api.enforcement.policy.revisions import Documents
    from admin_api.enforcement.policy.rollout import CanaryRows
    from admin_api.enforcement.policy.state import PolicyState
    from admin_api.store import UnitOfWork

CONFIRMED, WITHDRAWN = "confirmed", "withdrawn"
OVERDUE = "not confirmed in time"
OTHERS_FIRST = 3.0  # seconds that the nodes of the canary have to withdraw it, before the others do


class CanaryEditor:
    """At most one canary runs. It is the ``pending`` policy of each node: no other change is made meanwhile."""

    def __init__(
        self,
        state: PolicyState,
        preparation: Preparation,
        watch: Callable[[], None],
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        """``watch`` awaits the end of the pending policy, ``settle`` forgets it."""
        self._state = state
        self._preparation = preparation
        self._watch, self._settle = watch, settle
        self._ended = 0  # the last one that ended here: it is not tried again if the database could not be told

    @property
    def running(self) -> Canary | None:
        pending = self._state.pending
        return None if pending is None else pending.canary

    async def check(self, wanted: Application) -> None:
        """Raises ``ApiError`` for nodes that are not there, and on a server that is no node."""
        if wanted.confirm_within is None:
            raise invalid_value("/confirm_within", "a canary needs it: the policy is withdrawn after that time")
        await self._rows().check(wanted.canary)

    async def begin(self, wanted: Application, plan: Plan, new: NewPolicy) -> AppliedReport:
        """Put ``new`` in force on the nodes of ``wanted``. Call it within the turn and the lock of changes."""
        state, rows = self._state, self._rows()
        plan = replace(plan, trial=True)
        proposal = await state.rollout.agree(plan)
        self._preparation.keep(proposal, new.files)
        before = NewPolicy(state.policy, state.files)
        try:
            async with state.store.write() as unit:
                named = sorted(set(wanted.canary))
                await unit.audit.add(wanted.by, "policy_canary", wanted.reason, proposal=proposal, nodes=named)
                canary = await rows.begin(unit, proposal, plan, wanted)
                if canary.here:
                    await state.put_in_force(new)
        except BaseException:
            if state.policy is not before.policy:
                await state.put_in_force(before)
            raise
        cut = await self._hold(canary, before if canary.here else None)
        try:
            names = await rows.spread(proposal)
        except ApiError:  # one of its nodes cannot use it
            await self._give_up(SYSTEM, "a node could not use it", told=True)
            raise
        return AppliedReport(state.version, count_rules(new.policy), cut, canary.ends_at, tuple(names))

    async def follow_end(self, known: Canary, by: str, why: str) -> None:
        """The database says that another node has withdrawn it."""
        async with self._state.changing():
            if self.running is known:
                await self._give_up(by, why, told=known.here)

    async def follow(self, stored: Canary, prepared: Prepared | None) -> None:
        """The database says that ``stored`` runs. Raises failures of the database."""
        state = self._state
        if stored.proposal == self._ended:
            await self._end(stored.proposal, SYSTEM, OVERDUE)
            return
        if self.running is None:
            async with state.changing():
                if state.pending is None:
                    await self._take(stored, prepared)

    async def confirm(self, by: str) -> int:
        """Put it in force on all nodes. Returns its version. Call it within the turn and the lock of changes."""
        state, canary = self._state, self._expect()
        plan = replace(canary.plan, trial=False, confirms=canary.proposal)
        new = (await self._preparation.prepare(plan)).new
        before = await state.read_documents()
        edits = RuleEdits.between(before, _with(before, plan.rules))

        async def write(unit: UnitOfWork) -> None:
            await write_rules(unit, edits, canary.by)
            await unit.audit.add(by, "policy_confirmed", canary.reason, proposal=canary.proposal)
            if not await self._rows().end(unit, canary.proposal, CONFIRMED, by, ""):
                raise ApiError(ProblemKind.NOTHING_TO_CONFIRM, "The canary has ended meanwhile")

        note = Note(canary.by, RevisionAction.APPLIED, canary.reason, count_rules(new.policy))
        await state.replace_policy(new, plan, note, edits, write)
        self._ended = canary.proposal
        await self._settle()
        self._report_end(canary, CONFIRMED, by, "", await state.reassess())
        return state.version

    async def roll_back(self, wanted: Application) -> AppliedReport:
        """Withdraw it, here at once. Raises ``ApiError`` if the others could not be told: they end it in time."""
        state = self._state
        async with state.changing():
            canary = self._expect()
            wanted.expect(state.version)
            if wanted.version is not None and wanted.version != state.version:
                raise ApiError(ProblemKind.CONFIRMATION_PENDING, f"{describe(canary)}; roll that back first")
            if wanted.dry_run:
                return AppliedReport(state.version, count_rules(state.policy), 0, None)
            cut = await self._give_up(wanted.by, wanted.reason, told=True)
        try:
            await self._end(canary.proposal, wanted.by, wanted.reason)
        except Exception as error:
            if not is_unavailable(error):
                raise
            moment = canary.ends_at.isoformat(timespec="seconds")
            raise unavailable(
                f"It is withdrawn on this node; the others could not be told, and do so at {moment}"
            ) from None
        return AppliedReport(state.version, count_rules(state.policy), cut, None)

    async def withdraw_overdue(self) -> None:
        """Its time is over: return to the policy before it, whether the database answers or not."""
        async with self._state.changing():
            canary = self.running
            if canary is not None:
                await self._give_up(SYSTEM, OVERDUE, told=canary.here)
        if canary is not None:
            await self._end(canary.proposal, SYSTEM, OVERDUE)

    async def supersede(self, canary: Canary) -> None:
        """Another policy has become active: a node of an older release knows of no canaries."""
        await self._end(canary.proposal, SYSTEM, "another policy has become active")

    async def leave(self, plan: Plan | None) -> None:
        """What all nodes have is in force here now; ``plan`` led to it. Call it within the lock of changes."""
        canary = self.running
        if canary is None:
            return
        await self._settle()
        if canary.here and plan is not None and plan.confirms == canary.proposal:
            self._report_end(canary, CONFIRMED, plan.by, "", 0)

    async def compile_in_force(self) -> NewPolicy:
        """Compile what is in force with the present lists, and also what a withdrawal returns to."""
        state, pending = self._state, self._state.pending
        documents = await state.read_documents()
        if pending is None or pending.canary is None or pending.before is None:
            return await state.compile(state.files, documents)
        before = await state.compile(pending.before.files, documents)
        new = await state.compile(state.files, _with(documents, pending.canary.plan.rules))
        state.pending = replace(pending, before=before)
        return new

    async def _take(self, canary: Canary, prepared: Prepared | None) -> None:
        state, before = self._state, None
        if canary.here:
            try:
                if prepared is None or prepared.base is not state.files:
                    prepared = await self._preparation.prepare(canary.plan, canary.proposal)
                before = NewPolicy(state.policy, state.files)
                await state.put_in_force(prepared.new)
            except (PolicyError, PlanError, ApiError) as error:
                self._ended = canary.proposal
                state.events.emit(ApiEvent.POLICY_REFUSED, problems=[f"canary {canary.proposal}: {error}"])
                await self._end(canary.proposal, SYSTEM, f"a node could not use it: {error}"[:200])
                return
        await self._hold(canary, before)

    async def _hold(self, canary: Canary, before: NewPolicy | None) -> int:
        """It runs. Returns how many sessions that has disconnected here."""
        state = self._state
        deadline = state.clock.monotonic() + canary.left + (0.0 if canary.here else OTHERS_FIRST)
        state.pending = Pending(state.version, canary.ends_at, deadline, canary.by, before, canary)
        self._watch()
        if not canary.here:
            return 0
        cut = await state.reassess()
        state.events.emit(
            ApiEvent.FLEET_CANARY_STARTED,
            proposal=canary.proposal,
            by=canary.by,
            nodes=list(canary.nodes),
            sessions_cut=cut,
            confirm_by=canary.ends_at.isoformat(),
        )
        try:
            await self._rows().note_in_force(canary.proposal, cut)
        except Exception as error:
            if not is_unavailable(error):  # else it is only not shown: it is in force, and ends by itself
                raise
        return cut

    async def _give_up(self, by: str, why: str, *, told: bool) -> int:
        """Return to the policy before it. ``told``: report it."""
        state, pending = self._state, self._state.pending
        if pending is None or pending.canary is None:
            return 0
        self._ended = pending.canary.proposal
        cut = 0
        if pending.before is not None:
            await state.put_in_force(pending.before)
            cut = await state.reassess()
        await self._settle()
        if told:
            self._report_end(pending.canary, WITHDRAWN, by, why, cut)
        return cut

    async def _end(self, proposal: int, by: str, why: str) -> None:
        async with self._state.store.write() as unit:
            if await self._rows().end(unit, proposal, WITHDRAWN, by, why):
                await unit.audit.add(by, "policy_canary_withdrawn", why, proposal=proposal)

    def _report_end(self, canary: Canary, outcome: str, by: str, why: str, cut: int) -> None:
        self._state.events.emit(
            ApiEvent.FLEET_CANARY_ENDED,
            proposal=canary.proposal,
            outcome=outcome,
            by=by,
            reason=why,
            sessions_cut=cut,
        )

    def _expect(self) -> Canary:
        canary = self.running
        if canary is None:
            raise ApiError(ProblemKind.NOTHING_TO_CONFIRM, "The canary has ended meanwhile")
        return canary

    def _rows(self) -> CanaryRows:
        rows = self._state.rollout.canaries
        if rows is None:
            raise invalid_value("/canary", "this server is no node of a fleet: [fleet] is not configured")
        return rows


def describe(canary: Canary) -> str:
    return f"A canary by {canary.by} runs on {', '.join(canary.nodes)} and waits to be confirmed"


def _with(documents: Documents, rules: Mapping[str, dict[str, Any] | None]) -> Documents:
    """Returns the documents with these rules changed; ``None``: removed."""
    merged = {**documents, **rules}
    return {name: document for name, document in merged.items() if document is not None}
