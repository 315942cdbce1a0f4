# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hook runs when: those of one session in their order, few of one user at a time, the users in turn.

So slow hooks of one user delay no other user's hooks. At most 4096 wait; then the last of the user with the most fails.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from ocsentry.observability.event_catalog import LogEvent
from ocsentry.privileges.hooks.client import HookResult
from ocsentry.privileges.hooks.scope import MAX_PROCESSES
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from vpn_frontend.ports import EventSink

MAX_OF_USER = 2  # at once
MAX_WAITING = 4096


class RunsPrograms(Protocol):
    async def run_program(self, program: str, environment: Mapping[str, str]) -> HookResult: ...


@dataclass(slots=True)
class _Job:
    program: str
    session: str
    user: str
    environment: Mapping[str, str]
    done: asyncio.Future[HookResult] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class HookRunner:
    """Implements ``vpn_frontend.ports.SessionHooks``."""

    def __init__(
        self,
        helper: RunsPrograms,
        programs: Collection[str],
        events: EventSink,
        *,
        each_connection: bool = False,
        sets_routes: bool = False,
    ) -> None:
        """``programs``: the keys of the hooks that the configuration has.

        ``sets_routes``: they need to be told of each connection then. A restart has lost the routes.
        """
        self.each_connection = each_connection or sets_routes
        self.sets_routes = sets_routes
        self._helper = helper
        self._programs = programs
        self._events = events
        self._waiting: dict[str, deque[_Job]] = {}  # by user
        self._ready: dict[str, None] = {}  # users whose first hook may start, in the order of their turns
        self._waiting_count = 0
        self._of_user: Counter[str] = Counter()  # running
        self._busy: set[str] = set()  # sessions
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def has_connect(self) -> bool:
        return "connect" in self._programs

    async def connect(self, session: str, user: str, environment: Mapping[str, str]) -> bool:
        """False: the program refuses the session, or it could not be asked."""
        result = await asyncio.shield(self._add("connect", session, user, environment))
        return not result.problem

    def disconnect(self, session: str, user: str, environment: Mapping[str, str]) -> None:
        if "disconnect" in self._programs:
            self._add("disconnect", session, user, environment)

    def leave(self, session: str, user: str, environment: Mapping[str, str]) -> None:
        if self.sets_routes:
            self._add("leave", session, user, environment)

    def host_update(self, session: str, user: str, environment: Mapping[str, str]) -> None:
        if "host_update" in self._programs:
            self._add("host_update", session, user, environment)

    async def drain(self) -> None:
        """Wait until every hook has run. Hooks are bounded in time, and so is this with the caller's deadline."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _add(self, program: str, session: str, user: str, environment: Mapping[str, str]) -> asyncio.Future[HookResult]:
        job = _Job(program, session, user, environment)
        self._waiting.setdefault(user, deque()).append(job)
        self._waiting_count += 1
        self._note_ready(user)
        self._start_ready()
        if self._waiting_count > MAX_WAITING:
            self._displace(user)
        return job.done

    def _displace(self, newest: str) -> None:
        """Have the last hook of the user with the most fail, of ``newest`` if no other has more than that user."""
        user = max(self._waiting, key=lambda user: len(self._waiting[user]))
        if len(self._waiting[user]) == len(self._waiting.get(newest, ())):
            user = newest
        last = self._waiting[user].pop()
        self._waiting_count -= 1
        if not self._waiting[user]:
            del self._waiting[user]
        self._note_ready(user)
        self._end(last, HookResult("too many hooks wait"))

    def _start_ready(self) -> None:
        """Start hooks while there are places. A place costs the same however many users wait."""
        while self._ready and len(self._tasks) < MAX_PROCESSES:
            user = next(iter(self._ready))
            jobs = self._waiting[user]
            self._start(jobs.popleft())
            self._waiting_count -= 1
            if not jobs:
                del self._waiting[user]
            self._note_ready(user)

    def _note_ready(self, user: str) -> None:
        """Call after each change of a user's hooks: only these decide whether its first one may start."""
        jobs = self._waiting.get(user)
        if jobs and self._may_start(jobs[0]):
            self._ready.setdefault(user)
        else:
            self._ready.pop(user, None)

    def _may_start(self, job: _Job) -> bool:
        return self._of_user[job.user] < MAX_OF_USER and job.session not in self._busy

    def _start(self, job: _Job) -> None:
        self._of_user[job.user] += 1
        self._busy.add(job.session)
        task = asyncio.create_task(self._run(job))
        self._tasks.add(task)

    async def _run(self, job: _Job) -> None:
        try:
            result = await self._helper.run_program(job.program, job.environment)
        except Exception as error:  # noqa: BLE001 - a hook that cannot be run has failed
            result = HookResult(repr(error))
        self._of_user[job.user] -= 1
        if not self._of_user[job.user]:
            del self._of_user[job.user]
        self._busy.discard(job.session)
        task = asyncio.current_task()
        if task is not None:
            self._tasks.discard(task)
        self._ready.pop(job.user, None)  # the other users first
        self._note_ready(job.user)
        self._end(job, result)
        self._start_ready()

    def _end(self, job: _Job, result: HookResult) -> None:
        if result.problem:
            self._events.emit(
                LogEvent.HOOK_FAILED,
                hook=job.program,
                user=job.user,
                session=job.session,
                problem=result.problem,
                output=result.output,
            )
        job.done.set_result(result)
