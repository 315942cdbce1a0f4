# SPDX-License-Identifier: GPL-3.0-or-later
"""The event loop's side of the membership: what beats say, who is told of it, and the return after an interruption.

    joined ── asserts what it carries ── member ── no answer for long ── cut off ── heard again ── asserts ── member
                                           └────── fenced ── joins again with the next epoch ────────┘

A part of the server that has something to assert gives ``on_return`` a coroutine function. Until all of them are done,
the node does not decide for the fleet; if one fails, all run again after a later beat. Each node waits for a moment of
its own before, so that a database that is back is not asked by all at once; the wait becomes longer with each failure.
"""

from __future__ import annotations

import asyncio
import contextlib
from enum import StrEnum
from typing import TYPE_CHECKING

from admin_api.fleet.jitter import Jitter
from admin_api.fleet.membership.beats import LOOP_PATIENCE, Beats
from admin_api.fleet.membership.lease import Lease, lease_clock
from admin_api.log_events import ApiEvent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from admin_api.fleet.membership.beats import Answer
    from admin_api.fleet.membership.lease import Identity
    from admin_api.fleet.settings import FleetSettings
    from vpn_frontend.ports import EventSink

TICK = 0.25  # seconds between two looks at the lease
SPREAD = 0.1  # seconds over which nodes begin to assert
WIDEST = 3.2  # seconds, after failures: each doubles them


class NodeState(StrEnum):
    MEMBER = "member"
    RETURNING = "returning"  # heard, and about to assert what it carries
    CUT_OFF = "cut_off"  # not heard: the others may have taken over what it carries


class Membership:
    """Used on the event loop's thread; ``lease`` may be read by any thread."""

    def __init__(self, url: str, settings: FleetSettings, events: EventSink, jitter: Jitter | None = None) -> None:
        """``jitter``: of this node; ``None``: at random."""
        self.settings = settings
        self.jitter = jitter or Jitter()
        self.lease = Lease(settings.dead_after)
        self.answer: Answer | None = None  # of the newest beat
        self.problem = ""  # of the newest beat; empty: it was answered
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._beats = Beats(
            url,
            settings,
            self.lease,
            self.jitter,
            joined=self._post_join,
            answered=self._post_answer,
            failed=self._post_failure,
            rung=self._post_bell,
        )
        self._listeners: list[Callable[[Answer], None]] = []
        self._bells: list[Callable[[int], None]] = []
        self._returns: list[Callable[[], Awaitable[None]]] = []
        self._changed = asyncio.Event()
        self._returning: asyncio.Task[None] | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._cut_off_at: float | None = None
        self._why = ""  # it was cut off last
        self._started = False
        self._spread = SPREAD
        self.doubts = 0  # how often the database may have lost what it had answered

    @property
    def identity(self) -> Identity | None:
        """As whom this node acts; ``None`` while it joins again."""
        return self.lease.identity

    @property
    def state(self) -> NodeState:
        now = lease_clock()
        if not self.lease.is_heard(now):
            return NodeState.CUT_OFF
        return NodeState.MEMBER if self.lease.asserted else NodeState.RETURNING

    @property
    def is_member(self) -> bool:
        return self.state is NodeState.MEMBER

    @property
    def draining(self) -> bool:
        """An operator wants this node to take no new sessions."""
        return self.answer is not None and self.answer.state == "draining"

    @property
    def why_cut_off(self) -> str:
        """Why the others do not hear this node, for operators."""
        return self.problem or self._why or "no beat was answered in time"

    def on_answer(self, listener: Callable[[Answer], None]) -> None:
        """Call ``listener`` with the answer to each beat that did not fence this node."""
        self._listeners.append(listener)

    def on_bell(self, listener: Callable[[int], None]) -> None:
        """Call ``listener`` with the revision of each notification; some may be lost, and no beat depends on them."""
        self._bells.append(listener)

    def on_return(self, assert_again: Callable[[], Awaitable[None]]) -> None:
        """Await ``assert_again`` after each join and each interruption, in the order of these calls."""
        self._returns.append(assert_again)

    async def start(self) -> None:
        """Join the fleet and assert what this node carries.

        Raises ``JoinRefusedError`` or ``LinkError``, and what asserting raises.
        """
        identity = await asyncio.to_thread(self._beats.join)
        self._events.emit(ApiEvent.FLEET_JOINED, node=self.settings.name, epoch=identity.epoch)
        self._beats.start()
        self._ticker = asyncio.create_task(self._tick(), name="lease of the fleet")
        await self._assert_all(identity)
        self._started = True

    async def stop(self) -> None:
        """Leave the fleet."""
        for task in (self._ticker, self._returning):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await asyncio.to_thread(self._beats.stop)

    def report(self, *, applied: int | None = None, prepared: int | None = None, sessions: int | None = None) -> None:
        """Have the next beat report these. It is sent at once if ``applied`` or ``prepared`` has risen."""
        load = self._beats.load
        hurries = (applied or 0) > load.applied or (prepared or 0) > load.prepared
        load.applied = load.applied if applied is None else applied
        load.prepared = load.prepared if prepared is None else prepared
        load.sessions = load.sessions if sessions is None else sessions
        if hurries:
            self._beats.hurry()

    def assert_again(self) -> None:
        """The database may not have what this node carries. It is told after the next beat."""
        self.lease.asserted = False
        self.doubts += 1

    async def wait_for(self, state: NodeState) -> None:
        while self.state is not state:
            await self._changed.wait()

    async def _tick(self) -> None:
        while True:
            now = lease_clock()
            stood_still, self._beats.turned_at = now - self._beats.turned_at, now
            if self._cut_off_at is None and not self.lease.is_heard(now):
                self._cut_off_at = now
                self._why = self._find_reason(stood_still)
                self._events.emit(ApiEvent.FLEET_CUT_OFF, node=self.settings.name, reason=self.why_cut_off)
                self._note_change()
            await asyncio.sleep(TICK)

    def _find_reason(self, stood_still: float) -> str:
        """Of a silence that no failed beat explains."""
        if self.lease.identity is None:
            return "another server has joined under this name"
        if stood_still >= LOOP_PATIENCE:  # also at a start that takes long
            return f"this server was busy with other work for {stood_still:.0f} s, and sent no beats"
        return ""

    async def _assert_all(self, identity: Identity) -> None:
        doubts = self.doubts
        for assert_again in self._returns:
            await assert_again()
        if self.lease.identity == identity and self.doubts == doubts:
            self.lease.asserted = True
            self._note_change()

    async def _return(self, identity: Identity) -> None:
        await asyncio.sleep(self.jitter.up_to(self._spread))
        try:
            await self._assert_all(identity)
        except Exception as error:  # noqa: BLE001 - any failure: tried again after the next beat
            self._spread = min(2 * self._spread, WIDEST)
            self._events.emit(ApiEvent.FLEET_RETURN_FAILED, node=self.settings.name, error=repr(error))
            return
        self._spread = SPREAD
        began, self._cut_off_at = self._cut_off_at, None
        away = 0.0 if began is None else round(lease_clock() - began, 1)
        self._events.emit(ApiEvent.FLEET_RETURNED, node=self.settings.name, epoch=identity.epoch, away=away)

    def _take_join(self, identity: Identity) -> None:
        self.problem = ""
        self._events.emit(ApiEvent.FLEET_JOINED, node=self.settings.name, epoch=identity.epoch)
        self._begin_return(identity)

    def _take_answer(self, answer: Answer) -> None:
        if self.answer is not None and answer.server != self.answer.server:
            self.assert_again()  # it may be a standby that has not got all, or be restored
        self.answer, self.problem = answer, ""
        if answer.fenced:
            return  # the thread joins again, or the ticker tells of it
        is_away = not self.lease.asserted or (self._cut_off_at is not None and self.lease.is_heard(lease_clock()))
        if answer.identity == self.lease.identity and is_away and self._started:
            self._begin_return(answer.identity)
        for listener in self._listeners:
            listener(answer)

    def _take_bell(self, revision: int) -> None:
        for listener in self._bells:
            listener(revision)

    def _take_failure(self, problem: str) -> None:
        self.problem = problem

    def _begin_return(self, identity: Identity) -> None:
        if self._returning is None or self._returning.done():
            self._returning = asyncio.create_task(self._return(identity), name="return to the fleet")

    def _note_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # Called in the thread of the beats:

    def _post_join(self, identity: Identity) -> None:
        self._loop.call_soon_threadsafe(self._take_join, identity)

    def _post_answer(self, answer: Answer) -> None:
        self._loop.call_soon_threadsafe(self._take_answer, answer)

    def _post_bell(self, revision: int) -> None:
        self._loop.call_soon_threadsafe(self._take_bell, revision)

    def _post_failure(self, problem: str) -> None:
        self._loop.call_soon_threadsafe(self._take_failure, problem)
