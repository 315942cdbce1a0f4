# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes the rules made over the API that have ended: they decide nothing any more, and count towards the limit.

The engine stops matching a rule exactly at its end; the row goes within a run of the scheduler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.enforcement.api_rules import count_rules, parse_end
from admin_api.enforcement.policy.changes import Plan, PlanKind
from admin_api.enforcement.policy.revisions import Note, RevisionAction, RuleEdits, write_rules
from admin_api.http.problems import ApiError
from admin_api.log_events import ApiEvent
from admin_api.store.audit import SYSTEM

if TYPE_CHECKING:
    from datetime import datetime

    from admin_api.enforcement.policy.revisions import Documents
    from admin_api.enforcement.policy.state import PolicyState
    from admin_api.store import UnitOfWork

ENDED = "its time ended"


class RuleExpiry:
    """``remove_ended`` costs nothing until the version has changed or a rule has ended."""

    def __init__(self, state: PolicyState) -> None:
        self._state = state
        self._version: int | None = None  # that ``_soonest`` is of
        self._soonest: datetime | None = None  # end of a rule

    async def remove_ended(self) -> list[str]:
        """Returns the ids of the removed rules.

        None while a policy waits to be confirmed, or another node of a fleet changes the policy: the next run does it.
        """
        state = self._state
        if state.version != self._version:
            version, documents = state.version, await state.read_documents()
            self._soonest, self._version = min(_ends(documents).values(), default=None), version
        if self._soonest is None or state.clock.wall() < self._soonest or state.pending is not None:
            return []
        try:
            async with state.changing_everywhere(wait=False):
                return [] if state.pending is not None else await self._remove()
        except ApiError:
            return []

    async def _remove(self) -> list[str]:
        state = self._state
        before, now = await state.read_documents(), state.clock.wall()
        ended = sorted(name for name, end in _ends(before).items() if end <= now)
        after = {name: document for name, document in before.items() if name not in ended}
        if not ended:
            return []
        new = await state.compile(state.files, after)
        edits = RuleEdits.between(before, after)

        async def write(unit: UnitOfWork) -> None:
            await write_rules(unit, edits, SYSTEM)
            for name in ended:
                await unit.audit.add(SYSTEM, RevisionAction.RULE_REMOVED.value, name, reason=ENDED)

        note = Note(SYSTEM, RevisionAction.RULE_REMOVED, ENDED, count_rules(new.policy))
        await state.replace_policy(new, Plan(PlanKind.RULES, SYSTEM, edits.after), note, edits, write)
        cut = await state.reassess()
        for name in ended:
            state.events.emit(ApiEvent.RULE_CHANGED, id=name, by=SYSTEM, removed=True, sessions_cut=cut)
        return ended


def _ends(documents: Documents) -> dict[str, datetime]:
    """Returns when the rules that have an end end, by id."""
    ends = {name: parse_end(document.get("expires_at")) for name, document in documents.items()}
    return {name: end for name, end in ends.items() if end is not None}
