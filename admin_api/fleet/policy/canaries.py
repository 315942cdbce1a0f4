# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies that are tried on some nodes first, as rows that all nodes see. They end by the clock of the database."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from admin_api.enforcement.policy.canary import WITHDRAWN
from admin_api.enforcement.policy.changes import Canary, Plan
from admin_api.http.problems import invalid_value, unavailable
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from admin_api.enforcement.policy.changes import Application
    from admin_api.fleet.membership.membership import Membership
    from admin_api.store import Store, UnitOfWork

CANARY = "policy_canary"  # the kind of the change that tells of a begin and of an end
SPREAD_WAIT = 5.0  # seconds for the nodes of a canary to put it in force
LOOK_AGAIN, LONGEST_LOOK = 0.02, 0.25  # seconds between two looks: they become longer
LIVE = text("SELECT name FROM fleet.voters_v1(make_interval(secs => :dead_after))")
BEGIN = text(
    "SELECT fleet.begin_canary_v1(:proposal, CAST(:document AS jsonb), CAST(:names AS text[]),"
    " make_interval(secs => :seconds), :by, :reason)"
)
END = text("SELECT fleet.end_canary_v1(:proposal, :state, :by, :why)")
RUNNING = text(
    "SELECT c.proposal, c.document, c.begun_by, c.reason, c.ends_at,"
    " extract(epoch FROM c.ends_at - clock_timestamp()) AS left,"
    " array(SELECT name FROM fleet.canary_nodes_v1(c.proposal, make_interval(secs => :dead_after))) AS nodes"
    " FROM fleet.canaries c WHERE fleet.canary_state_v1(c) = 'running'"
)
OUTCOME = text(
    "SELECT fleet.canary_state_v1(c) AS state, c.ended_by, c.why FROM fleet.canaries c WHERE c.proposal = :proposal"
)
IN_FORCE = text(
    "UPDATE fleet.canary_nodes SET in_force = true, sessions_cut = :cut WHERE proposal = :proposal AND node = :node"
)
LATEST = text(
    "SELECT c.proposal, fleet.canary_state_v1(c) AS state, c.begun_by, c.reason, c.began_at, c.ends_at, c.ended_by,"
    " c.why FROM fleet.canaries c ORDER BY c.proposal DESC LIMIT 1"
)
OF_CANARY = text("SELECT * FROM fleet.canary_nodes_v1(:proposal, make_interval(secs => :dead_after))")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a canary has ended: ``state`` is ``confirmed`` or ``withdrawn``."""

    state: str
    by: str
    why: str


class Canaries:
    """Implements ``CanaryRows`` over the database."""

    def __init__(self, store: Store, membership: Membership) -> None:
        self._store, self._membership = store, membership
        self._dead_after = membership.settings.dead_after

    async def check(self, names: Sequence[str]) -> None:
        async with self._store.connected() as connection:
            live = {row.name for row in await connection.execute(LIVE, {"dead_after": self._dead_after})}
        for index, name in enumerate(names):
            if name not in live:
                raise invalid_value(f"/canary/{index}", f"{name!r} is no node that is alive; GET /nodes lists all")

    async def begin(self, unit: UnitOfWork, proposal: int, plan: Plan, wanted: Application) -> Canary:
        names, seconds = sorted(set(wanted.canary)), wanted.confirm_within or 0.0
        values = {
            "proposal": proposal,
            "document": json.dumps(plan.as_document()),
            "names": names,
            "seconds": seconds,
            "by": wanted.by,
            "reason": wanted.reason,
        }
        ends_at = await unit.scalar(BEGIN, values)
        unit.changes.note(CANARY, str(proposal))
        return self._canary_of(proposal, plan, names, wanted.by, wanted.reason, ends_at, seconds)

    async def end(self, unit: UnitOfWork, proposal: int, outcome: str, by: str, why: str) -> bool:
        done = await unit.scalar(END, {"proposal": proposal, "state": outcome, "by": by, "why": why})
        if done:
            unit.changes.note(CANARY, str(proposal))
        return bool(done)

    async def note_in_force(self, proposal: int, cut: int) -> None:
        identity = self._membership.identity
        if identity is None:
            return
        async with self._store.connected(writes=True) as connection:
            await connection.execute(IN_FORCE, {"proposal": proposal, "node": identity.node, "cut": cut})

    async def spread(self, proposal: int) -> Sequence[str]:
        """Raises ``ApiError`` if a node has ended it because it cannot use it."""
        found: Sequence[str] = ()
        pause = LOOK_AGAIN
        try:
            async with asyncio.timeout(SPREAD_WAIT):
                while True:
                    ended, rows = await self.outcome(proposal), await self._nodes_of(proposal)
                    if ended is not None:
                        raise unavailable(f"The canary has ended: {ended.why}")
                    found = [row.name for row in rows if row.in_force]
                    if all(row.in_force or row.lost for row in rows):
                        break
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_LOOK)
        except (TimeoutError, SQLAlchemyError):
            pass  # it runs: GET /fleet shows where it is in force
        return found

    async def running(self) -> Canary | None:
        """Raises ``ValueError`` or ``KeyError`` for one of a release that knows more."""
        async with self._store.connected() as connection:
            row = (await connection.execute(RUNNING, {"dead_after": self._dead_after})).one_or_none()
        if row is None:
            return None
        plan = Plan.from_document(row.document)
        return self._canary_of(row.proposal, plan, row.nodes, row.begun_by, row.reason, row.ends_at, float(row.left))

    async def outcome(self, proposal: int) -> Outcome | None:
        """``None``: it runs. One that the database does not know, after a restore, is withdrawn."""
        async with self._store.connected() as connection:
            row = (await connection.execute(OUTCOME, {"proposal": proposal})).one_or_none()
        if row is None:
            return Outcome(WITHDRAWN, "", "the database does not know it")
        return None if row.state == "running" else Outcome(row.state, row.ended_by, row.why)

    async def _nodes_of(self, proposal: int) -> Sequence[Any]:
        async with self._store.connected() as connection:
            values = {"proposal": proposal, "dead_after": self._dead_after}
            return (await connection.execute(OF_CANARY, values)).all()

    def _canary_of(
        self, proposal: int, plan: Plan, names: Sequence[str], by: str, reason: str, ends_at: datetime, left: float
    ) -> Canary:
        here = self._membership.settings.name in names
        return Canary(proposal, plan, tuple(names), by, reason, ends_at, left, here)


@dataclass(frozen=True, slots=True)
class CanaryNode:
    """``in_force``: it has told so. ``sessions_cut``: those that it has disconnected for it."""

    name: str
    in_force: bool
    sessions_cut: int


@dataclass(frozen=True, slots=True)
class CanaryRow:
    """``state``: ``running``, ``confirmed`` or ``withdrawn``, by ``ended_by`` and for the reason ``why``."""

    proposal: int
    state: str
    by: str
    reason: str
    at: datetime
    confirm_by: datetime
    ended_by: str
    why: str
    nodes: Sequence[CanaryNode]


async def latest_canary(store: Store, dead_after: float) -> CanaryRow | None:
    """Returns the newest canary, whatever became of it, for operators."""
    async with store.connected() as connection:
        row = (await connection.execute(LATEST)).one_or_none()
        if row is None:
            return None
        nodes = (await connection.execute(OF_CANARY, {"proposal": row.proposal, "dead_after": dead_after})).all()
    runs = row.state == "running"
    return CanaryRow(
        proposal=row.proposal,
        state=row.state,
        by=row.begun_by,
        reason=row.reason,
        at=row.began_at,
        confirm_by=row.ends_at,
        ended_by=row.ended_by,
        why=row.why,
        nodes=[CanaryNode(one.name, runs and one.in_force and not one.lost, one.sessions_cut) for one in nodes],
    )
