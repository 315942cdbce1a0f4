# SPDX-License-Identifier: GPL-3.0-or-later
"""The sessions of a node of a fleet: orders that are carried out, errands that are sent, lost sessions that end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING

from admin_api.fleet.calls import Calls
from admin_api.fleet.changes.failed_logins import key_of
from admin_api.fleet.membership.lease import lease_clock
from admin_api.fleet.peers.service import Peers
from admin_api.fleet.sessions.admission import FleetAdmission
from admin_api.fleet.sessions.comparison import Comparison
from admin_api.fleet.sessions.errands import Errands
from admin_api.fleet.sessions.journal import end_records, end_unheard_records, take_record
from admin_api.fleet.sessions.keys import make_ring, renew_ring
from vpn_frontend.auth.shared_failures import SharedFailures
from vpn_frontend.ports import VpnEvent
from vpn_frontend.sessions.fleet.port import FleetSilentError, pack_id, unpack_id

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from admin_api.fleet.membership.beats import Answer
    from admin_api.fleet.membership.membership import Membership
    from admin_api.fleet.peers.messages import Message
    from admin_api.store.database import Store
    from vpn_frontend.ports import EventSink
    from vpn_frontend.sessions.fleet.entrance import FleetEntrance
    from vpn_frontend.sessions.session import Session

ORDERS = "SELECT serial, kind, session, generation FROM fleet.open_orders_v1(%s, %s)"
DONE = "SELECT fleet.orders_done_v1(%s, %s)"
DONE_ONE = (
    "UPDATE fleet.orders SET done_at = clock_timestamp()"
    " WHERE node = %s AND session = %s AND generation = %s AND kind = %s AND done_at IS NULL"
)
SWEEP = "SELECT * FROM fleet.sweep_sessions_v3(make_interval(secs => %s), %s)"
SWEPT_TOGETHER = 2000  # sessions in one call, of each kind: some 100 ms of the database
SWEEP_LOGINS = "SELECT fleet.sweep_logins_v1(%s)"
MOST_SWEPT = 20_000  # logins in one call: some 100 ms of the database
SHORT = "SELECT pool FROM fleet.short_pools_v1(%s)"
MOST_ORDERS = 200  # at once
CLOSE_WAIT = 1.5  # seconds for sessions to close: the node that waits for them goes on after 2
SWEEP_INTERVAL = 10.0  # seconds, on average
WATCH_INTERVAL = 1.0  # seconds
DRAINED_PER_SECOND = 50  # sessions: the other nodes take them over meanwhile
GOODBYE_WAIT = 2.0  # seconds at the end for errands
WRITTEN_WAIT = 0.4  # seconds for the last counters of what was let go


class FleetSessions:
    """Call ``start`` with the membership started, ``attach`` once the VPN serves, and ``stop`` after it has ended."""

    def __init__(
        self, url: str, membership: Membership, store: Store, events: EventSink, listener: socket.socket | None = None
    ) -> None:
        """``listener``: for messages of the other nodes, see ``peers``."""
        settings = membership.settings
        self._membership = membership
        self._events = events
        self._store = store
        self.calls = Calls(url)
        self.errands = Errands(self.calls, self.report)
        self._keys = make_ring(settings.secret, store.clock.wall())
        self.peers = Peers(settings, membership.lease, self.calls, events, listener, self._take_order)
        self.admission = FleetAdmission(
            self.calls,
            self.errands,
            membership.lease,
            dead_after=settings.dead_after,
            keys=self._keys,
            failures=SharedFailures(key_of(settings.secret)),
            hold=settings.in_split == "hold",
            alone_is_allowed=settings.on_store_loss == "local",
            find_record=partial(take_record, store),
            is_draining=lambda: membership.draining,
            routed=settings.addresses == "routed",
            tell=self.peers.caller.tell,
        )
        self._comparison = Comparison(
            self.calls, membership, store, events, self.admission.lose, lambda: self.admission.unsettled
        )
        self._entrance: FleetEntrance | None = None
        self._settle: Callable[[float], Awaitable[None]] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._ordering: asyncio.Task[None] | None = None
        self._contests: dict[int, asyncio.Task[None]] = {}  # by the order's serial

    def start(self) -> None:
        self.peers.start()
        self._tasks = [
            asyncio.create_task(self.errands.run(), name="errands of the fleet"),
            asyncio.create_task(self._sweep(), name="sweeps of the fleet"),
            asyncio.create_task(self._watch(), name="sessions of the fleet"),
        ]

    def attach(self, entrance: FleetEntrance, written: Callable[[float], Awaitable[None]]) -> None:
        """``written`` waits until the journal has what it was told, for some seconds."""
        self._entrance, self._settle = entrance, written
        self._membership.on_return(self._return)
        self._membership.on_answer(self._look_for_orders)

    async def stop(self) -> None:
        await self.peers.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_WAIT):
                await self.errands.until_empty()
        running = [*self._tasks, *self._contests.values(), *([] if self._ordering is None else [self._ordering])]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self.calls.close()

    async def _return(self) -> None:
        if self._entrance is not None:
            self.calls.try_again()  # a beat was answered
            with self.admission.returning():
                await self._entrance.reassert()

    def _look_for_orders(self, answer: Answer) -> None:
        if answer.open_orders and (self._ordering is None or self._ordering.done()):
            self._ordering = asyncio.create_task(self._carry_out(answer.identity.node), name="orders of the fleet")

    async def _carry_out(self, node: int) -> None:
        entrance, settle = self._entrance, self._settle
        if entrance is None or settle is None:
            return
        try:
            orders = await self.calls.call(ORDERS, (node, MOST_ORDERS))
            ended, done = list["Session"](), list[int]()
            for serial, kind, packed, generation in orders:
                if kind == "contest":
                    self._begin_contest(entrance, node, serial, unpack_id(packed), generation)
                    continue
                session = entrance.carry_out(kind, unpack_id(packed), generation)
                done.append(serial)
                if session is not None:
                    ended.append(session)
            if done:
                await entrance.until_closed(ended, CLOSE_WAIT)
                await settle(WRITTEN_WAIT)
                await self.calls.call(DONE, (node, done))
        except Exception as error:  # noqa: BLE001 - any failure: the next beat tells of them again
            self.report(str(error) if isinstance(error, FleetSilentError) else repr(error))

    async def _take_order(self, message: Message) -> bool:
        """An order that another node tells, before this one has read it. Returns whether its session is closed here."""
        entrance, settle = self._entrance, self._settle
        if entrance is None or settle is None:
            return False
        if message.kind == "contest":
            await entrance.contest(message.session, message.generation, time.monotonic())
            await self.errands.until_empty()
        else:
            session = entrance.carry_out(message.kind, message.session, message.generation)
            if session is None:
                return False
            await entrance.until_closed([session], CLOSE_WAIT)
            await settle(WRITTEN_WAIT)
        if (me := self._membership.identity) is not None:
            self.errands.add(DONE_ONE, (me.node, pack_id(message.session), message.generation, message.kind))
        return True

    def _begin_contest(self, entrance: FleetEntrance, node: int, serial: int, session: str, generation: int) -> None:
        """Beside other orders: the client has two seconds to answer."""
        if serial in self._contests or len(self._contests) >= MOST_ORDERS:
            return
        work = self._contest(entrance, node, serial, session, generation)
        self._contests[serial] = task = asyncio.create_task(work, name="contest of the fleet")
        task.add_done_callback(lambda _: self._contests.pop(serial, None))

    async def _contest(self, entrance: FleetEntrance, node: int, serial: int, session: str, generation: int) -> None:
        try:
            await entrance.contest(session, generation, time.monotonic())
            await self.errands.until_empty()
            await self.calls.call(DONE, (node, [serial]))
        except Exception as error:  # noqa: BLE001 - any failure: the next beat tells of it again
            self.report(str(error) if isinstance(error, FleetSilentError) else repr(error))

    async def _watch(self) -> None:
        """Leave sessions to the others while this node drains, and end those whose places are no longer held."""
        cut_off_since: float | None = None
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            entrance, now = self._entrance, lease_clock()
            if entrance is None:
                continue
            if not self.admission.cut_off:
                cut_off_since = None
                self._drain(entrance, self._membership.draining)
            elif cut_off_since is None:
                cut_off_since = now
            elif self._membership.settings.in_split == "hold":
                entrance.end_unheard(now - cut_off_since)

    def _drain(self, entrance: FleetEntrance, wanted: bool) -> None:
        """Nothing listens while the node drains: clients that leave it would come back to it otherwise."""
        try:
            entrance.set_accepting(not wanted)
        except OSError as error:
            self._events.emit(VpnEvent.BACKEND_FAILED, what="the listening sockets", error=error.strerror or str(error))
        if wanted:
            entrance.drain(DRAINED_PER_SECOND)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._membership.jitter.around(SWEEP_INTERVAL))
            renew_ring(self._keys, self._membership.settings.secret, self._store.clock.wall())
            try:
                await self._sweep_sessions(self._membership.settings.dead_after)
                await self.calls.call(SWEEP_LOGINS, (MOST_SWEPT,))
                short = {row[0] for row in await self.calls.call(SHORT, (2 * SWEEP_INTERVAL,))}
                if self._entrance is not None:
                    if short:
                        self._entrance.hand_back_reserve(short)
                    await self._comparison.look(self._entrance)
            except Exception as error:  # noqa: BLE001 - any failure: the next sweep does it
                self.report(repr(error))

    async def _sweep_sessions(self, dead_after: float) -> None:
        """End all that wait for nothing, some at a time: their number is that of a node's sessions, if it has died."""
        while True:
            ended = await self.calls.call(SWEEP, (dead_after, SWEPT_TOGETHER))
            await end_records(self._store, [unpack_id(row[0]) for row in ended])
            if len(ended) < SWEPT_TOGETHER:
                break
        while await end_unheard_records(self.calls, dead_after, SWEPT_TOGETHER) == SWEPT_TOGETHER:
            pass

    def report(self, problem: str) -> None:
        """A call of the database failed, and is repeated later."""
        self._events.emit(VpnEvent.BACKEND_FAILED, what="the fleet's database", error=problem)
