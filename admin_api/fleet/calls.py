# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of the fleet's SQL functions from the event loop: one round trip each, with a hard deadline.

There are a few connections, each used by one call at a time. A call that does not end in time keeps its connection
until the database answers or ``GIVE_UP`` is over, while its caller goes on: the answer is unknown then. A database
without power, or behind a network that drops everything, would hold it for a quarter of an hour. After some calls in a
row without an answer the next ones fail at once, until the database has had a second to recover.
"""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, Any

import psycopg

from admin_api.fleet.link import hosts_of
from admin_api.fleet.membership.lease import lease_clock
from admin_api.store.connections.postgresql import shut_down
from vpn_frontend.sessions.fleet.port import FleetSilentError

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECTIONS = 4
BUDGET = 0.5  # seconds for a call, with the wait for a connection
STATEMENT_TIMEOUT = 500  # milliseconds
CONNECT_TIMEOUT = 2  # seconds
FAILURES = 3  # in a row, which open the breaker
GIVE_UP = 6.0  # seconds for an answer: more than any caller waits
PROBE_PAUSE = 1.0  # seconds from then until a call is tried again
# Whatever is the database's own: an admission counts what others have committed while it waited for its user's row.
READ_COMMITTED = r"-c default_transaction_isolation=read\ committed"
Row = tuple[Any, ...]


def session_settings(statement_timeout: int) -> str:
    """Options of libpq for a connection whose statements end after ``statement_timeout`` milliseconds.

    No call is long enough to be worth compiling, which takes longer than the call, and memory of the connection.
    """
    return f"-c statement_timeout={statement_timeout} -c lock_timeout={statement_timeout} -c jit=off {READ_COMMITTED}"


class NotAskedError(FleetSilentError):
    """The call was not sent: the database has done nothing."""


class UnknownAnswerError(FleetSilentError):
    """The call was sent and not answered: the database may have done it, or may yet do it."""


class Calls:
    """For one event loop. ``call`` may run beside itself."""

    def __init__(self, url: str, connections: int = CONNECTIONS, statement_timeout: int | None = None) -> None:
        """``statement_timeout``: milliseconds; ``None``: as long as a login may wait."""
        self._hosts = hosts_of(url)
        self._slots = asyncio.Semaphore(connections)
        self._statement_timeout = STATEMENT_TIMEOUT if statement_timeout is None else statement_timeout
        self._idle: list[psycopg.AsyncConnection[Row]] = []
        self._running: set[asyncio.Task[list[Row]]] = set()
        self._failures = 0
        self._closed_until = float("-inf")

    async def call(self, statement: str, values: Sequence[object], budget: float = BUDGET) -> list[Row]:
        """Execute one statement, committed when this returns. Its rows.

        Raises ``NotAskedError``, ``UnknownAnswerError`` or, if the database refuses and has undone it,
        ``psycopg.DatabaseError``.
        """
        now = lease_clock()
        if now < self._closed_until:
            raise NotAskedError("the database has not answered lately")
        deadline = asyncio.get_running_loop().time() + budget
        try:
            async with asyncio.timeout_at(deadline):
                await self._slots.acquire()
        except TimeoutError:
            self._count_failure()
            raise NotAskedError("all connections to the database wait for an answer") from None
        task = asyncio.create_task(self._run(statement, values))
        self._running.add(task)
        task.add_done_callback(self._end)
        done, _ = await asyncio.wait({task}, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        if not done:
            self._count_failure()
            raise UnknownAnswerError("the database has not answered in time")
        try:
            rows = task.result()
        except FleetSilentError:
            self._count_failure()
            raise
        self._failures = 0
        return rows

    def try_again(self) -> None:
        """The database was heard by another connection: the next call is not refused for those that failed before."""
        self._failures = 0
        self._closed_until = float("-inf")

    async def close(self) -> None:
        """End all connections. What runs ends with them."""
        for task in [*self._running]:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        for connection in self._idle:
            await connection.close()
        self._idle.clear()

    def _count_failure(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES:
            self._closed_until = lease_clock() + PROBE_PAUSE

    def _end(self, task: asyncio.Task[list[Row]]) -> None:
        self._running.discard(task)
        self._slots.release()
        if not task.cancelled():
            task.exception()  # its caller may have gone on without it

    async def _run(self, statement: str, values: Sequence[object]) -> list[Row]:
        connection = self._take_idle() or await self._connect()
        giving_up = asyncio.get_running_loop().call_later(GIVE_UP, shut_down, connection.pgconn)
        try:
            cursor = await connection.execute(statement, values)
            rows = await cursor.fetchall() if cursor.description else []
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            await connection.close()
            raise UnknownAnswerError(" ".join(str(error).split())) from error
        except psycopg.errors.ReadOnlySqlTransaction as error:
            await connection.close()  # to a server that is no primary any more: the next one may lead to its heir
            raise NotAskedError("the database can only be read") from error
        except psycopg.DatabaseError:
            self._idle.append(connection)
            raise
        except BaseException:
            connection.pgconn.finish()
            raise
        finally:
            giving_up.cancel()
        self._idle.append(connection)
        return rows

    def _take_idle(self) -> psycopg.AsyncConnection[Row] | None:
        """One that the database has not ended meanwhile, as a restart does: a call on it would have no answer."""
        while self._idle:
            connection = self._idle.pop()
            if connection.closed:
                continue
            poll = select.poll()
            poll.register(connection.fileno(), select.POLLIN)
            if not poll.poll(0):
                return connection
            connection.pgconn.finish()
        return None

    async def _connect(self) -> psycopg.AsyncConnection[Row]:
        problem: Exception | None = None
        settings = session_settings(self._statement_timeout)
        for attempt in self._hosts.in_turn():
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT / len(self._hosts)):
                    # No prepared statements: a pooler in transaction mode gives each call another backend.
                    connection = await psycopg.AsyncConnection.connect(
                        **{**attempt.options, "options": settings},
                        autocommit=True,
                        prepare_threshold=None,
                    )
            except TimeoutError:
                problem = TimeoutError("no answer in time")
            except (psycopg.Error, OSError) as error:
                problem = error
            else:
                self._hosts.answered(attempt)
                return connection
        raise NotAskedError(" ".join(str(problem).split())) from problem
