# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to PostgreSQL that wait for no answer for longer than the caller may.

A server that was stopped, or behind a network that drops everything, answers nothing and ends no connection. So each
wait for an answer has a deadline here; at the deadline the connection's socket is shut down, and the statement fails as
with a connection that broke. A server that is only slow is told by ``statement_timeout`` to give up earlier.

Of several hosts each has its share of the time for a new connection.

Requests of the API have connections of their own, so that other work of the server leaves them some.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy.ext.asyncio import create_async_engine

from admin_api.store.connections.database_hosts import DatabaseHosts
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from psycopg.abc import PQGen
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

CONNECTIONS = 5  # for requests, and again for all other work


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. ``answer`` is more than ``statement``: a server that is alive can say so."""

    statement: float  # 0: none
    answer: float | None
    connection: float  # for a free connection, and for a new one


REQUESTS = Limits(statement=0.5, answer=0.8, connection=0.8)
WORK = Limits(statement=30.0, answer=35.0, connection=5.0)
MIGRATION = Limits(statement=0.0, answer=None, connection=5.0)  # as long as it takes


class BoundedConnection(psycopg.AsyncConnection[Any]):
    """Gives up at its limits, see the module."""

    limits = WORK

    async def wait(self, gen: PQGen[Any], *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as the driver's
        if self.limits.answer is None:
            return await super().wait(gen, *arguments, **options)
        giving_up = asyncio.get_running_loop().call_later(self.limits.answer, shut_down, self.pgconn)
        try:
            return await super().wait(gen, *arguments, **options)
        finally:
            giving_up.cancel()


class RequestConnection(BoundedConnection):
    limits = REQUESTS


class MigrationConnection(BoundedConnection):
    limits = MIGRATION


def make_engines(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    """The one for all work, and the one for requests."""
    return _make_engine(url, BoundedConnection), _make_engine(url, RequestConnection)


def make_migration_engine(url: URL) -> AsyncEngine:
    """Dispose of it after the upgrade."""
    return _make_engine(url, MigrationConnection)


def _make_engine(url: URL, kind: type[BoundedConnection]) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=CONNECTIONS,
        max_overflow=0 if kind is RequestConnection else CONNECTIONS,
        pool_timeout=kind.limits.connection,
        pool_pre_ping=True,
        pool_use_lifo=True,  # the connection with the warmest caches
        hide_parameters=True,  # of statements in errors and logs: password hashes are among them
        connect_args={"async_creator_fn": _connector(kind, _hosts_of(url))},
    )


def _hosts_of(url: URL) -> DatabaseHosts:
    _, options = url.get_dialect()().create_connect_args(url)
    return DatabaseHosts(options)


def _connector(kind: type[BoundedConnection], hosts: DatabaseHosts) -> Callable[..., Awaitable[BoundedConnection]]:
    # No statement here is long enough to be worth compiling, which can take longer than its deadline.
    limit = f"-c statement_timeout={int(kind.limits.statement * 1000)} -c jit=off"

    async def connect(*_: Any, **__: Any) -> BoundedConnection:  # noqa: ANN401 - given what the URL says, as the hosts are
        problem = psycopg.OperationalError("the database does not answer")
        for attempt in hosts.in_turn():
            settings = f"{limit} {attempt.options.get('options', '')}".strip()
            try:
                async with asyncio.timeout(kind.limits.connection / len(hosts)):
                    connection = await kind.connect(**{**attempt.options, "options": settings})
            except TimeoutError:
                continue
            except psycopg.OperationalError as error:
                problem = error
            else:
                hosts.answered(attempt)
                return connection
        raise problem from None

    return connect


def shut_down(pgconn: psycopg.pq.abc.PGconn) -> None:
    """Have the wait that runs end: the socket can be read then, at its end. Its number stays the connection's own."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(pgconn.socket)) as same:
        same.shutdown(socket.SHUT_RDWR)
