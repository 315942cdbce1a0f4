# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiles what a change of the policy wants, before it is in force anywhere.

It takes no lock, so that a change which waits here for its turn holds up none of another node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.enforcement.policy.changes import PlanKind, Prepared
from admin_api.enforcement.policy.revisions import read_earlier
from admin_api.enforcement.policy.rule_file_set import RuleFileSet

if TYPE_CHECKING:
    from admin_api.enforcement.policy.changes import Plan
    from admin_api.enforcement.policy.state import PolicyState


class Preparation:
    """Compiles plans.

    The rule files of one that is tried on some nodes first are kept: the same are put in force later, whatever is on
    disk then.
    """

    def __init__(self, state: PolicyState) -> None:
        self._state = state
        self._kept: RuleFileSet | None = None
        self._kept_of = 0  # the number of the proposal

    def keep(self, number: int, files: RuleFileSet) -> None:
        self._kept_of, self._kept = number, files

    async def prepare(self, plan: Plan, number: int = 0) -> Prepared:
        """Compile what ``plan`` wants; ``number`` is that of its proposal.

        Raises ``PolicyError``, and ``ApiError`` for an earlier version not kept.
        """
        state = self._state
        base = state.files
        documents = await state.read_documents()
        if plan.confirms and plan.confirms == self._kept_of and self._kept is not None:
            files = self._kept
        elif plan.kind is PlanKind.FILES:
            files = RuleFileSet(await state.read_disk())
        elif plan.kind is PlanKind.VERSION:
            async with state.store.read() as unit:
                latest = await unit.revisions.latest()
                newest = 0 if latest is None else latest.number
                files = (await read_earlier(unit, plan.version, newest, base, documents)).files
        else:
            files = base
        for name, document in plan.rules.items():
            documents.pop(name, None)
            if document is not None:
                documents[name] = document
        new = await state.compile(files, documents)
        if plan.trial:
            self.keep(number, files)
        return Prepared(plan, new, base)
