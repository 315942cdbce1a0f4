# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to PostgreSQL with a deadline for each call, for a thread of its own.

A server that was stopped, or behind a network that drops everything, answers no call and ends no connection. So this
waits on the socket itself, by libpq's asynchronous calls, and gives the connection up at the deadline.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

from psycopg import Error, pq
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import make_url

from admin_api.store.connections.database_hosts import DatabaseHosts

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE = {pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK}
ENDED = {pq.PollingStatus.OK, pq.PollingStatus.FAILED}  # of a connection that is being made
Row = tuple[str | None, ...]


class LinkError(Exception):
    """The database did not answer in time, or refused. The connection is closed, unless the text is the answer."""


def hosts_of(url: str) -> DatabaseHosts:
    """The hosts of a store's URL, with libpq's own parameters."""
    parsed = make_url(url)
    _, options = parsed.get_dialect()().create_connect_args(parsed)
    return DatabaseHosts({"application_name": "ocsentry fleet", **options})


class Link:
    """Used by one thread. Opens itself with the first call, and again after it was closed."""

    def __init__(self, hosts: DatabaseHosts, channel: str = "") -> None:
        """``channel``: whose notifications ``bells`` returns. Empty: none. Behind some poolers there are none."""
        self._hosts = hosts
        self._channel = channel
        self._connection: pq.abc.PGconn | None = None

    def call(self, statement: str, values: Sequence[object], wait: float) -> list[Row]:
        """Execute one statement with ``$1`` and so on. Returns its rows as text, ``None`` for null.

        Raises ``LinkError`` after ``wait`` seconds at the latest; what was asked may have been done or not then. Names
        of hosts are looked up by the system, which has its own deadline.
        """
        deadline = time.monotonic() + wait
        try:
            if self._connection is None:
                self._connection = self._open(deadline)
                if self._channel:
                    self._ask(self._connection, f"LISTEN {self._channel}", (), deadline)
            return self._ask(self._connection, statement, values, deadline)
        except (Error, OSError) as error:
            self.close()
            raise LinkError(" ".join(str(error).split()) or type(error).__name__) from error
        except LinkError:
            self.close()
            raise

    @property
    def socket(self) -> int | None:
        """Can be read when a notification has arrived, or the connection has ended."""
        return None if self._connection is None else self._connection.socket

    def bells(self) -> list[str]:
        """The payloads of the notifications that have arrived. Closes a connection that has ended."""
        found: list[str] = []
        if (connection := self._connection) is not None:
            try:
                connection.consume_input()
            except Error:
                self.close()
                return found
            while (one := connection.notifies()) is not None:
                found.append(one.extra.decode(errors="replace"))
        return found

    def close(self) -> None:
        if self._connection is not None:
            self._connection.finish()
            self._connection = None

    def _open(self, deadline: float) -> pq.abc.PGconn:
        """At the first host that can be written to. Each has its share of the time that is left."""
        problem = LinkError("no host")
        for attempt in self._hosts.in_turn():
            now = time.monotonic()
            try:
                connection = _connect(make_conninfo(**attempt.options), now + (deadline - now) / attempt.left)
            except LinkError as error:
                problem = error
            else:
                self._hosts.answered(attempt)
                return connection
        raise problem

    def _ask(self, connection: pq.abc.PGconn, statement: str, values: Sequence[object], deadline: float) -> list[Row]:
        given = [_as_text(value) for value in values]
        connection.send_query_params(statement.encode(), given)
        while connection.flush():
            _wait(connection.socket, deadline, writes=True)
        rows: list[Row] = []
        problem = ""
        while True:
            while connection.is_busy():
                _wait(connection.socket, deadline)
                connection.consume_input()
            result = connection.get_result()
            if result is None:
                break
            if result.status in DONE:
                rows += [_row(result, at) for at in range(result.ntuples)]
            else:
                problem = result.error_message.decode(errors="replace") or "no answer"
            result.clear()
        if problem:
            raise LinkError(" ".join(problem.split()))
        return rows


def _connect(conninfo: str, deadline: float) -> pq.abc.PGconn:
    connection = pq.PGconn.connect_start(conninfo.encode())
    try:
        while (status := connection.connect_poll()) not in ENDED:
            _wait(connection.socket, deadline, writes=status == pq.PollingStatus.WRITING)
    except BaseException:
        connection.finish()
        raise
    if status == pq.PollingStatus.FAILED:
        problem = _words(connection)
        connection.finish()
        raise LinkError(problem)
    connection.nonblocking = 1
    return connection


def _row(result: pq.abc.PGresult, at: int) -> Row:
    values = (result.get_value(at, column) for column in range(result.nfields))
    return tuple(None if value is None else value.decode() for value in values)


def _as_text(value: object) -> bytes | None:
    if value is None:
        return None
    return b"\\x" + value.hex().encode() if isinstance(value, bytes) else str(value).encode()


def _wait(socket: int, deadline: float, *, writes: bool = False) -> None:
    """Wait until the socket can be read or written. Raises ``LinkError`` at the deadline."""
    poll = select.poll()
    poll.register(socket, select.POLLOUT if writes else select.POLLIN)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise LinkError("no answer in time")


def _words(connection: pq.abc.PGconn) -> str:
    return " ".join(connection.error_message.decode(errors="replace").split()) or "cannot connect"
