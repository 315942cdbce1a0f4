# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells accounting servers of sessions: start and stop from the ledger until a server has taken them, and updates.

A record is told at least once. It is told twice only if this process dies, or the database fails, after the server's
answer and before that is noted. While no server answers, one record at a time is tried: a hanging server costs one
waiting request, and neither logins nor the shutdown wait for it. Updates are not kept: the next one has all counters.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from vpn_frontend.accounting.interim import InterimSchedule
from vpn_frontend.accounting.questions import interim_question, start_question, stop_question
from vpn_frontend.ports import VpnEvent
from vpn_frontend.radius.servers import NoAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vpn_frontend.accounting.ledger import AccountedSession, AccountingLedger
    from vpn_frontend.ports import EventSink, SessionView
    from vpn_frontend.radius.servers import RadiusServers

BATCH = 64  # sessions told at the same time
RETRY = 5.0  # seconds between two rounds while something is untold
TICK = 1.0  # seconds between two looks for updates that are due
MAX_ENDED = 1000  # sessions ended at a time because no server knows of them
MAX_UPDATES = 64  # waiting for an answer at the same time
STOP_DEADLINE = 5.0  # seconds at shutdown to tell the last stops; the rest is told after the next start
MAX_AGE = timedelta(days=7)  # of an end that no server has taken
DROP_INTERVAL = 3600.0  # seconds between two looks for those
UNTOLD = "The accounting server does not answer. Please try again later."


class AccountingReporter:
    """``view`` finds an open session, ``end_session`` ends one and tells its user a text. ``clock`` is monotonic."""

    def __init__(
        self,
        servers: RadiusServers,
        ledger: AccountingLedger,
        *,
        nas_identifier: str,
        interim: int,
        refuse_without: bool,
        view: Callable[[str], SessionView | None],
        end_session: Callable[[str, str], object],
        events: EventSink,
        clock: Callable[[], float],
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._servers = servers
        self._ledger = ledger
        self._nas_identifier = nas_identifier
        self._refuse_without = refuse_without
        self._view = view
        self._end_session = end_session
        self._events = events
        self._clock = clock
        self._wall_clock = wall_clock
        self.updates = InterimSchedule(interim)
        self._update_tasks: dict[str, asyncio.Task[None]] = {}
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._told_started: list[str] = []
        self._told_ended: list[str] = []
        self._failing = False
        self._followed = False
        self._next_drop = clock()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def refuses(self) -> bool:
        """True if no session may be opened now, because no server could be told of it."""
        return self._refuse_without and self._servers.all_dead

    def wake(self) -> None:
        """Sessions may have become due."""
        self._some.set()
        self._idle.clear()

    def start(self) -> None:
        """Begin to tell what a former process has left, and what comes."""
        self._ledger.watch(self.wake)
        self.wake()
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._run_updates())]

    async def stop(self) -> None:
        """Tell what can be told in ``STOP_DEADLINE``. The ledger keeps the rest."""
        self.updates.clear()
        if self._tasks:
            self.wake()
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_DEADLINE):
                    await self._idle.wait()
        tasks = [*self._tasks, *self._update_tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._servers.close()

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(None if self._idle.is_set() else RETRY):
                    await self._some.wait()
            try:
                await self._follow_former()
                await self._tell_due()
                await self._drop_old()
            except Exception as error:  # noqa: BLE001 - of any ledger: it is asked again
                self._events.emit(VpnEvent.BACKEND_FAILED, what="accounting", error=repr(error))
                self._some.clear()

    async def _follow_former(self) -> None:
        """Updates of sessions that outlived a former process go on. Those that did not are dropped when due."""
        if not self._followed:
            for session in await self._ledger.open_told():
                self.updates.add_session(session, self._clock())
            self._followed = True

    async def _tell_due(self) -> None:
        """Tell everything that is due, until nothing is or no server answers."""
        await self._note_told()
        while True:
            self._some.clear()
            due = await self._ledger.due(1 if self._failing else BATCH)
            if not due:
                self._failing = False
                if not self._some.is_set():
                    self._idle.set()
                return
            told = await self._tell_batch(due)
            self._failing = not told
            if not told:
                if self._refuse_without:
                    await self._end_untold()
                return

    async def _end_untold(self) -> None:
        """End the open sessions of which no server knows."""
        for session in await self._ledger.due(MAX_ENDED):
            if not session.start_told and session.ended_at is None:
                self._end_session(session.id, UNTOLD)

    async def _tell_batch(self, due: Sequence[AccountedSession]) -> bool:
        """True if a server has taken any of it. What it has taken is noted, also if the rest is cancelled."""
        telling = [asyncio.create_task(self._tell(session)) for session in due]
        taken = False
        try:
            for next_done in asyncio.as_completed(telling):
                taken = await next_done or taken
                await self._note_told()
        finally:
            for task in telling:
                task.cancel()
            await asyncio.gather(*telling, return_exceptions=True)
            await asyncio.shield(self._note_told())
        return taken

    async def _tell(self, session: AccountedSession) -> bool:
        """Tell the start, and the stop of a session that has ended. True if a server has taken something."""
        try:
            if not session.start_told:
                await self._servers.ask(start_question(session, self._nas_identifier, self._wall_clock()))
                self._told_started.append(session.id)
            if session.ended_at is None:
                self.updates.add_session(session, self._clock())
                return True
            self.updates.remove_session(session.id)
            await self._cancel_update(session.id)
            await self._servers.ask(stop_question(session, self._nas_identifier, self._wall_clock()))
            self._told_ended.append(session.id)
        except NoAnswerError:
            return session.id in self._told_started
        except Exception as error:  # noqa: BLE001 - of a session that no packet holds: it must not block the others
            self._events.emit(VpnEvent.BACKEND_FAILED, what="accounting", error=repr(error))
            (self._told_started if session.ended_at is None else self._told_ended).append(session.id)
        return True

    async def _note_told(self) -> None:
        started, self._told_started = self._told_started, []
        ended, self._told_ended = self._told_ended, []
        if not (started or ended):
            return
        try:
            await self._ledger.mark_told(started=started, ended=ended)
        except Exception:
            self._told_started += started  # noted before the next round asks the ledger again
            self._told_ended += ended
            raise

    async def _drop_old(self) -> None:
        if self._clock() < self._next_drop:
            return
        self._next_drop = self._clock() + DROP_INTERVAL
        count = await self._ledger.drop_older_than(self._wall_clock() - MAX_AGE)
        if count:
            self._events.emit(VpnEvent.ACCOUNTING_DROPPED, count=count)

    async def _run_updates(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.send_updates(self._clock())

    def send_updates(self, now: float) -> None:
        """Send the updates that are due, unless no server answers."""
        for session in self.updates.take_due(now):
            view = self._view(session.id)
            if view is None:
                self.updates.remove_session(session.id)
            if view is None or self._servers.all_dead or len(self._update_tasks) >= MAX_UPDATES:
                continue
            task = asyncio.create_task(self._update(session, view))
            self._update_tasks[session.id] = task
            task.add_done_callback(partial(self._forget_update, session.id))

    def _forget_update(self, session_id: str, task: asyncio.Task[None]) -> None:
        if self._update_tasks.get(session_id) is task:
            del self._update_tasks[session_id]

    async def _update(self, session: AccountedSession, view: SessionView) -> None:
        counted = self.updates.with_view(session, view)
        with suppress(NoAnswerError):  # the servers report it
            await self._servers.ask(interim_question(counted, self._nas_identifier, self._wall_clock()))

    async def _cancel_update(self, session_id: str) -> None:
        """An update after the stop would open the session again at some servers."""
        task = self._update_tasks.get(session_id)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
