# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of the policy by this node: in force on all live nodes, or on none.

    turn ── what the others have changed is in force here ── proposed ── every live node has compiled it ── sealed
                                                                └── one cannot, or does not answer ── aborted

A node that dies meanwhile is not waited for once it counts as dead. The proposal becomes active in the transaction that
writes its rules, and only if each node that is alive then has agreed. A node that was away takes over what the database
has when it is back. A turn ends by itself with the node that has it.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from admin_api.enforcement.policy.revisions import RULES
from admin_api.fleet.policy.rules import PROPOSED, read_problems
from admin_api.http.problems import unavailable
from admin_api.log_events import ApiEvent
from admin_api.store.failures import is_unavailable
from sentry_engine import PolicyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from admin_api.enforcement.policy.changes import Plan, Prepared
    from admin_api.fleet.changes.changes import Changes
    from admin_api.fleet.membership.lease import Identity
    from admin_api.fleet.membership.membership import Membership
    from admin_api.fleet.policy.rules import RulesPart
    from admin_api.store import Store, UnitOfWork
    from sentry_engine import Problem
    from vpn_frontend.ports import EventSink

TURN_WAIT = 30.0  # seconds for the turn, while another node has it
TURN_LONGEST = 120.0  # seconds; longer than all of a change takes
CATCH_UP_WAIT = 15.0  # seconds for earlier changes to be in force here
ANSWER_WAIT = 30.0  # seconds for all nodes to compile; longer than a node takes to count as dead
SPREAD_WAIT = 5.0  # seconds for all nodes to put in force what they have compiled
LOOK_AGAIN, LONGEST_LOOK = 0.02, 0.25  # seconds between two looks: they become longer
NO_ANSWER = "not all nodes agreed"
TRIED = "tried on some nodes first"
HEAD = text("SELECT revision FROM fleet.head")
CLAIM = text(
    "SELECT fleet.claim_policy_v1(:node, :epoch, make_interval(secs => :dead_after), make_interval(secs => :longest))"
)
RELEASE = text("SELECT fleet.release_policy_v1(:node, :epoch, :reason)")
PROPOSE = text(
    "INSERT INTO fleet.policy_versions (document, proposed_by) SELECT CAST(:document AS jsonb), :node"
    " WHERE fleet.has_policy_turn_v1(:node, :epoch) RETURNING version"
)
AGREE = text(
    "INSERT INTO fleet.policy_acks (version, node, epoch, ok) VALUES (:version, :node, :epoch, true) RETURNING version"
)
ANSWERS = text("SELECT name, ok, error FROM fleet.policy_answers_v2(:version, make_interval(secs => :dead_after))")
SEAL = text("SELECT fleet.seal_policy_v2(:node, :epoch, :version, :revision, make_interval(secs => :dead_after))")
BEHIND = text(
    "SELECT count(*) FROM fleet.voters_v1(make_interval(secs => :dead_after)) v"
    " LEFT JOIN fleet.node_policies p ON p.node = v.node"
    " WHERE v.node <> :node AND coalesce(p.proposal, 0) < :version"
)


class PolicyRollout:
    """Implements ``Rollout`` over the database."""

    shared = True

    def __init__(
        self, store: Store, membership: Membership, changes: Changes, rules: RulesPart, events: EventSink
    ) -> None:
        self._store, self._membership, self._changes, self._rules = store, membership, changes, rules
        self._events = events
        self._dead_after = membership.settings.dead_after
        self._one = asyncio.Lock()  # of the changes of this node
        self._reason = NO_ANSWER  # why the open proposal is aborted
        self.canaries = rules.canaries

    @asynccontextmanager
    async def turn(self, *, wait: bool = True) -> AsyncIterator[None]:
        async with self._one:
            identity = self._identify()
            try:
                await self._claim(identity, TURN_WAIT if wait else 0.0)
                await self._catch_up()
                yield
            finally:
                await self._release(identity)

    async def agree(self, plan: Plan) -> int:
        me = self._identify()
        self._reason = NO_ANSWER
        self._rules.trust()
        async with self._store.write() as unit:
            values = {"document": json.dumps(plan.as_document()), "node": me.node, "epoch": me.epoch}
            version: int | None = await unit.scalar(PROPOSE, values)
            if version is None:
                raise unavailable("The policy has not changed: the turn of this node was taken away; repeat it")
            await unit.scalar(AGREE, {"version": version, "node": me.node, "epoch": me.epoch})
            unit.changes.note(PROPOSED, str(version))
        await self._await_answers(version)
        if plan.trial:
            self._reason = TRIED  # it is written as a canary, and no longer proposed
        return version

    async def seal(self, unit: UnitOfWork, proposal: int, version: int | None) -> None:
        me = self._identify()
        values = {"node": me.node, "epoch": me.epoch, "version": proposal, "revision": version}
        if not await unit.scalar(SEAL, values | {"dead_after": self._dead_after}):
            self._reason = "a node came back meanwhile, or the turn was taken away"
            raise unavailable(f"The policy has not changed on any node: {self._reason}; repeat it")
        unit.changes.note(RULES, "", proposal=proposal)

    def doubt(self, proposal: int, prepared: Prepared) -> None:
        self._rules.doubt(proposal, prepared)

    async def spread(self, proposal: int) -> None:
        identity = self._membership.identity
        if identity is None:
            return  # cut off by now: the others follow all the same
        values = {"version": proposal, "node": identity.node, "dead_after": self._dead_after}
        pause = LOOK_AGAIN
        try:
            async with asyncio.timeout(SPREAD_WAIT):
                while await self._look(BEHIND, values) != [(0,)]:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_LOOK)
        except (TimeoutError, SQLAlchemyError):
            return  # it is active, and the others follow: GET /nodes shows which have it

    def _identify(self) -> Identity:
        identity = self._membership.identity
        if identity is None or not self._membership.is_member:
            raise unavailable("This node is cut off from its fleet: the policy changes on all nodes, or on none")
        return identity

    async def _claim(self, identity: Identity, patience: float) -> None:
        loop = asyncio.get_running_loop()
        values = {
            "node": identity.node,
            "epoch": identity.epoch,
            "dead_after": self._dead_after,
            "longest": TURN_LONGEST,
        }
        pause, give_up = LOOK_AGAIN, loop.time() + patience
        while True:
            async with self._store.connected(writes=True) as connection:
                holder = (await connection.execute(CLAIM, values)).scalar_one()
            if not holder:
                return
            if loop.time() >= give_up:
                raise unavailable(f"The node {holder} changes the policy; repeat it once that is done")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_LOOK)

    async def _catch_up(self) -> None:
        ((head,),) = await self._look(HEAD, {})
        try:
            async with asyncio.timeout(CATCH_UP_WAIT):
                await self._changes.wait_for(head)
                await self._rules.settle()
        except TimeoutError:
            raise unavailable("This node has not yet put in force what the others have changed; repeat it") from None
        if self._rules.outdated:
            raise unavailable("This node cannot use the policy of the others; see the failure of GET /policy here")

    async def _release(self, identity: Identity) -> None:
        """A failure is only passed over: the turn ends with this node, or after a while."""
        try:
            async with self._store.write() as unit:
                values = {"node": identity.node, "epoch": identity.epoch, "reason": self._reason}
                if await unit.scalar(RELEASE, values):
                    unit.changes.note(PROPOSED, "")  # the others need not keep what they have compiled
        except Exception as error:
            if not is_unavailable(error):
                raise

    async def _await_answers(self, version: int) -> None:
        loop, pause = asyncio.get_running_loop(), LOOK_AGAIN
        give_up = loop.time() + ANSWER_WAIT
        while True:
            rows = await self._look(ANSWERS, {"version": version, "dead_after": self._dead_after})
            problems = [problem for name, ok, error in rows if ok is False for problem in read_problems(name, error)]
            if problems:
                await self._abort(version, problems)
            missing = [name for name, ok, _ in rows if ok is None]
            if not missing:
                return
            if loop.time() >= give_up:
                self._reason = f"no answer from {', '.join(missing)} within {ANSWER_WAIT:.0f} s"
                self._events.emit(ApiEvent.FLEET_POLICY_ABORTED, proposal=version, problems=[self._reason])
                raise unavailable(f"The policy has not changed on any node: {self._reason}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_LOOK)

    async def _abort(self, version: int, problems: Sequence[Problem]) -> None:
        self._reason = str(problems[0])
        self._events.emit(ApiEvent.FLEET_POLICY_ABORTED, proposal=version, problems=[str(one) for one in problems])
        raise PolicyError(problems)

    async def _look(self, statement: Any, values: dict[str, Any]) -> list[tuple[Any, ...]]:  # noqa: ANN401 - any rows
        async with self._store.connected() as connection:
            return [tuple(row) for row in await connection.execute(statement, values)]
