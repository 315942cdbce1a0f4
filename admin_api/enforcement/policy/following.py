# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of the policy that another node of the fleet makes: put in force when it says so, compiled beforehand."""

from __future__ import annotations

import hashlib
from pathlib import PurePath
from typing import TYPE_CHECKING

from admin_api.enforcement.api_rules import count_rules
from admin_api.enforcement.policy.changes import PlanKind
from admin_api.enforcement.policy.revisions import Note, RevisionAction, read_files_in_force

if TYPE_CHECKING:
    from admin_api.enforcement.policy.changes import NewPolicy, Prepared
    from admin_api.enforcement.policy.editor import PolicyEditor
    from admin_api.enforcement.policy.state import PolicyState

BY = "another node"


class PolicyFollower:
    """Used by one task. ``PlanError`` and ``PolicyError`` leave the earlier policy in force."""

    def __init__(self, state: PolicyState, editor: PolicyEditor) -> None:
        self._state = state
        self._editor = editor

    @property
    def digest(self) -> str:
        """Of the rule files in force, by name and content: nodes with the same files have the same, in any folder."""
        digests = sorted((PurePath(name).name, digest) for name, digest in self._state.files.digests().items())
        whole = hashlib.sha256(b"".join(name.encode() + b"\0" + digest for name, digest in digests))
        return whole.hexdigest()[:16]

    @property
    def version(self) -> int:
        return self._state.version

    async def activate(self, prepared: Prepared | None) -> int:
        """Put ``prepared`` in force; without it, or if the rule files have changed meanwhile, what the database has.

        Returns how many sessions were disconnected.
        """
        state = self._state
        async with state.changing():
            ready = prepared is not None and prepared.base is state.files
            new = prepared.new if prepared is not None and ready else await self._compile_stored()
            await state.put_in_force(new)
            await self._editor.canary.leave(None if prepared is None else prepared.plan)
            cut = await state.reassess()
            await self.take_version()
            if not ready or (prepared is not None and prepared.plan.kind is not PlanKind.RULES):
                by = BY if prepared is None else prepared.plan.by
                await state.note(Note(by, RevisionAction.FILES, rules=count_rules(new.policy)))
        return cut

    async def take_version(self) -> None:
        """Know of the newest revision, and of one that waits to be confirmed."""
        state = self._state
        async with state.store.read() as unit:
            latest, pending = await unit.revisions.latest(), await unit.revisions.pending()
        if latest is not None:
            state.version = latest.number
        await self._editor.follow_pending(pending)

    async def _compile_stored(self) -> NewPolicy:
        """As a start does, if another node has held rule files meanwhile; otherwise the files are those in force."""
        state = self._state
        documents = await state.read_documents()
        async with state.store.read() as unit:
            noted = await read_files_in_force(unit)
        if {name: one.rejected for name, one in noted.held.items()} == {
            name: one.rejected for name, one in state.files.held.items()
        }:
            return await state.compile(state.files, documents)
        return await state.compile(noted.follow_disk(await state.read_disk()), documents)
