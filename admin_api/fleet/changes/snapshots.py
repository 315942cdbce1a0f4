# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns to read the whole state of the fleet: 50 nodes at once, the others wait and say so.

The turns are rows of the database, so the bound holds however many ask at the same moment, which a count in the answers
to beats would not give. A node that waits keeps in force what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import psycopg

from admin_api.log_events import ApiEvent
from vpn_frontend.sessions.fleet.port import FleetSilentError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from admin_api.fleet.calls import Calls
    from admin_api.fleet.membership.membership import Membership
    from vpn_frontend.ports import EventSink

TAKE = "SELECT fleet.take_snapshot_turn_v1(%s, %s, make_interval(secs => %s), make_interval(secs => %s))"
GIVE_BACK = "SELECT fleet.give_back_snapshot_v1(%s, %s)"
LASTS = 300.0  # seconds: a turn that was given back to a database which has lost it is free then
ASK_AGAIN = 1.0  # seconds, on average, until a node that waits asks again
TURN_WAIT = 5.0  # seconds for an answer
ALL_TAKEN = "as many nodes as may read the whole state of the fleet at once are doing so"
NOT_JOINED = "this node joins the fleet again"


class SnapshotTurns:
    """For one event loop."""

    def __init__(self, calls: Calls, membership: Membership, events: EventSink) -> None:
        self._calls = calls
        self._membership = membership
        self._events = events
        self.waits_for = ""  # why this node has no turn yet; empty: it waits for none

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and give it back. Raises as ``Calls.call``."""
        try:
            while problem := await self._take():
                if not self.waits_for:
                    name = self._membership.settings.name
                    self._events.emit(ApiEvent.FLEET_COMPARISON_WAITS, node=name, reason=problem)
                self.waits_for = problem
                await asyncio.sleep(self._membership.jitter.around(ASK_AGAIN))
        finally:
            self.waits_for = ""
        try:
            yield
        finally:
            task = asyncio.current_task()
            if task is None or not task.cancelling():  # else this node is about to leave, and its turn ends with that
                await self._give_back()

    async def _take(self) -> str:
        """Returns why there is none; empty: this node has a turn."""
        me, settings = self._membership.identity, self._membership.settings
        if me is None:
            return NOT_JOINED
        (row,) = await self._calls.call(TAKE, (me.node, me.epoch, settings.dead_after, LASTS), TURN_WAIT)
        return "" if row[0] else ALL_TAKEN

    async def _give_back(self) -> None:
        """A turn that cannot be given back ends by itself, and is this node's until then."""
        me = self._membership.identity
        if me is not None:
            with contextlib.suppress(FleetSilentError, psycopg.DatabaseError):
                await self._calls.call(GIVE_BACK, (me.node, me.epoch), TURN_WAIT)
