# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of the policy by other nodes: compiled here when they are proposed, in force when they are active.

Compiling may take seconds, and no block waits for it: a task of its own does it. Rules that do not compile here, for
instance beside another rule file, are answered with their problems, and are in force nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

from sqlalchemy import text

from admin_api.enforcement.policy.canary import WITHDRAWN
from admin_api.enforcement.policy.changes import Plan
from admin_api.enforcement.policy.revisions import RULES
from admin_api.fleet.policy.canaries import Canaries
from admin_api.http.problems import ApiError
from admin_api.log_events import ApiEvent
from sentry_engine import PolicyError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admin_api.enforcement.policy.changes import Prepared
    from admin_api.enforcement.service import Enforcement
    from admin_api.fleet.changes.changes import Change
    from admin_api.fleet.membership.membership import Membership
    from admin_api.store import Store
    from vpn_frontend.ports import EventSink

PROPOSED = "policy_proposed"  # the kind of the change; RULES is that of an active one
RETRY = 5.0  # seconds until a failed attempt is repeated
MAX_PROBLEMS = 20  # of one answer
MAX_TEXT = 500  # characters of each
OPEN = text(
    "SELECT v.version, v.document FROM fleet.policy_versions v WHERE v.state = 'proposed'"
    " AND NOT EXISTS ("
    "  SELECT 1 FROM fleet.policy_acks a WHERE a.version = v.version AND a.node = :node AND a.epoch = :epoch)"
)
NEWEST = text("SELECT coalesce(max(version), 0) FROM fleet.policy_versions WHERE state = 'active'")
ANSWER = text(
    "INSERT INTO fleet.policy_acks (version, node, epoch, ok, error) SELECT :version, :node, :epoch, :ok, :error"
    " WHERE EXISTS (SELECT 1 FROM fleet.policy_versions WHERE version = :version AND state = 'proposed')"
    " ON CONFLICT (version, node) DO UPDATE"
    " SET epoch = excluded.epoch, ok = excluded.ok, error = excluded.error"
)
IN_FORCE = text(
    "INSERT INTO fleet.node_policies (node, proposal, revision, digest) VALUES (:node, :proposal, :revision, :digest)"
    " ON CONFLICT (node) DO UPDATE SET proposal = excluded.proposal, revision = excluded.revision,"
    " digest = excluded.digest"
)


class RulesPart:
    """Call ``start`` once the rules of the database are in force; ``stop`` ends the task."""

    def __init__(self, enforcement: Enforcement, store: Store, membership: Membership, events: EventSink) -> None:
        self._enforcement, self._store, self._membership = enforcement, store, membership
        self._events = events
        self._wanted, self._idle = asyncio.Event(), asyncio.Event()
        self._changed = self._noted = False  # there is a policy to follow, or only its number
        self._active = 0  # the newest proposal that is in force here, or is to be
        self.canaries = Canaries(store, membership)
        self._told: tuple[int, int, str] | None = None  # what the database knows of what is in force here
        self._prepared: tuple[int, Prepared] | None = None
        self._task: asyncio.Task[None] | None = None
        self._begun = False
        self._doubted = 0  # this node's proposal of which it is not known whether it is active
        self.outdated = False  # what another node has made active cannot be used here

    def start(self) -> None:
        self._membership.on_return(self._answer_again)
        self._wake()
        self._task = asyncio.create_task(self._run(), name="rules of the fleet")

    async def apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.own:
                self._active = max(self._active, change.body.get("proposal", 0))
                self._changed = self._changed or self._is_doubted()
            elif change.kind == RULES:
                self._active = max(self._active, change.body.get("proposal", 0))
                self._changed = self._changed or "noted" not in change.body
                self._noted = True
        self._wake()

    async def compare(self, *, restored: bool) -> None:
        """Follow the database. A restored one counts its proposals from an earlier number."""
        if restored:
            self._active, self._begun, self._told, self._prepared = 0, False, None, None
        self._changed = True
        self._wake()

    def doubt(self, proposal: int, prepared: Prepared) -> None:
        """This node has taken back its own ``proposal``. If it is active, or turns out to be, it is put in force."""
        self._doubted, self._prepared = proposal, (proposal, prepared)
        self._changed = self._changed or self._is_doubted()
        self._wake()

    def trust(self) -> None:
        """All that the database has is in force here: what was doubted before is not active."""
        if self._doubted:
            self._doubted, self._prepared = 0, None

    async def settle(self) -> None:
        """Wait until all that was heard of is in force here, or was found to be of no use."""
        await self._idle.wait()

    async def tell(self) -> None:
        """Have the database know what is in force here, if that has changed."""
        follower, identity = self._enforcement.follower, self._membership.identity
        present = (self._active, follower.version, follower.digest)
        if self.outdated or identity is None or present == self._told:
            return
        values = dict(zip(("proposal", "revision", "digest"), present, strict=True))
        async with self._store.connected(writes=True) as connection:
            await connection.execute(IN_FORCE, {"node": identity.node, **values})
        self._told = present

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _answer_again(self) -> None:
        """What this node has answered in an epoch before does not count."""
        self._wake()

    def _is_doubted(self) -> bool:
        return 0 < self._doubted <= self._active

    def _wake(self) -> None:
        self._idle.clear()
        self._wanted.set()

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._begin()
                await self._follow()
                await self._answer()
                await self._try_out()
                await self.tell()
            except Exception as error:  # noqa: BLE001 - any failure of the database: tried again
                self._events.emit(ApiEvent.POLICY_REFUSED, problems=[f"rules of another node: {error!r}"])
                await asyncio.sleep(RETRY)
                self._wanted.set()
            if not self._wanted.is_set():
                self._idle.set()

    async def _begin(self) -> None:
        """From now on the word of this node counts: what was active before is in force here."""
        if self._begun:
            return
        async with self._store.connected() as connection:
            self._active = max(self._active, (await connection.execute(NEWEST)).scalar_one())
        self._membership.report(prepared=1)
        self._begun = True

    async def _follow(self) -> None:
        changed, noted = self._changed, self._noted
        self._changed = self._noted = False
        try:
            if changed:
                of_use = self._prepared is not None and self._prepared[0] == self._active
                prepared = self._prepared[1] if of_use and self._prepared is not None else None
                self._prepared, self._doubted = None, 0
                self.outdated = not await self._enforcement.follow_policy(prepared)
            elif noted:
                await self._enforcement.follower.take_version()
        except BaseException:
            self._changed, self._noted = changed, noted
            raise

    async def _answer(self) -> None:
        """Compile what is proposed, and answer."""
        identity = self._membership.identity
        if identity is None:
            return
        async with self._store.connected() as connection:
            row = (await connection.execute(OPEN, {"node": identity.node, "epoch": identity.epoch})).one_or_none()
        if row is None:
            return
        problems: Sequence[Problem] = ()
        self._prepared = None
        try:
            self._prepared = (
                row.version,
                await self._enforcement.editor.preparation.prepare(Plan.from_document(row.document), row.version),
            )
        except PolicyError as error:
            problems = error.problems
        except ApiError as error:
            problems = (Problem("", "", error.detail),)
        except (KeyError, TypeError, ValueError):
            problems = (Problem("", "", "this release does not know such a change: upgrade it"),)
        me = {"node": identity.node, "epoch": identity.epoch}
        values = {"version": row.version, **me, "ok": not problems, "error": _render(problems)}
        async with self._store.connected(writes=True) as connection:
            await connection.execute(ANSWER, values)

    async def _try_out(self) -> None:
        """Begin or end what is tried on some nodes, as the database says."""
        editor = self._enforcement.editor.canary
        known = editor.running
        ended = None if known is None else await self.canaries.outcome(known.proposal)
        if known is not None and ended is not None and ended.state == WITHDRAWN:  # a confirmed one is RULES
            await editor.follow_end(known, ended.by, ended.why)
        stored = await self.canaries.running()
        if stored is None:
            return
        if stored.proposal < self._active:
            await editor.supersede(stored)
            return
        prepared = None
        if self._prepared is not None and self._prepared[0] == stored.proposal:
            prepared, self._prepared = self._prepared[1], None
        await editor.follow(stored, prepared)


def _render(problems: Sequence[Problem]) -> str:
    """Returns the first problems as JSON: ``[[file, pointer, reason]]``."""
    shown = [(one.file, one.pointer, one.reason) for one in problems[:MAX_PROBLEMS]]
    return json.dumps([[part[:MAX_TEXT] for part in parts] for parts in shown]) if shown else ""


def read_problems(node: str, rendered: str) -> list[Problem]:
    """Returns what ``node`` has answered, with its name before the file."""
    return [Problem(f"{node}: {file}".rstrip(": "), pointer, reason) for file, pointer, reason in json.loads(rendered)]
