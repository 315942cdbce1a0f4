# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to the directory's servers: bounded, kept for the next login, with fallback to the next server.

A server that fails or does not answer in time is asked last for ``DEAD_TIME``. A login that all servers fail is
unavailable; only logins by this directory wait for it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import field
from typing import TYPE_CHECKING, TypeVar

from sentry_engine.records import dataclass
from vpn_frontend.auth.ldap.connection import LdapConnection, LdapError, Server
from vpn_frontend.auth.ldap.resolver import Resolver
from vpn_frontend.auth.result import OverloadError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

MAX_CONNECTIONS = 16  # in use at once, of all servers
MAX_WAITING = 1024  # logins that wait for one, each at most ``deadline``
MAX_IDLE = 4  # kept per server
IDLE_TIME = 60.0  # seconds until a kept connection is not used again; servers and firewalls drop older ones
DEAD_TIME = 30.0  # seconds

Found = TypeVar("Found")


@dataclass(slots=True)
class _State:
    server: Server
    idle: list[LdapConnection] = field(default_factory=list)
    dead_until: float = 0.0


class LdapPool:
    """``servers`` in their sequence. ``deadline``: seconds for all the work of a login with one server.

    ``report`` gets the failure of a server when another one may still do. ``close`` it at the end.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        deadline: float,
        report: Callable[[Exception], None],
        resolver: Resolver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._states = [_State(server) for server in servers]
        self._deadline = deadline
        self._report = report
        self._resolver = resolver or Resolver()
        self._clock = clock
        self._places = asyncio.Semaphore(MAX_CONNECTIONS)
        self._users = 0  # that have a place or wait for one
        self._closed = False

    async def run(self, work: Callable[[LdapConnection, Server], Awaitable[Found]]) -> Found:
        """The result of ``work`` on a connection to the first server that can do it.

        Raises ``OverloadError`` if too many wait, or this one for too long, and ``LdapError`` if no server can.
        """
        if self._users >= MAX_CONNECTIONS + MAX_WAITING or self._closed:
            raise OverloadError
        self._users += 1
        try:
            await self._take_place()
            try:
                return await self._try_servers(work)
            finally:
                self._places.release()
        finally:
            self._users -= 1

    async def _take_place(self) -> None:
        try:
            async with asyncio.timeout(self._deadline):
                await self._places.acquire()
        except TimeoutError:
            raise OverloadError from None

    def close(self) -> None:
        self._closed = True
        for state in self._states:
            for connection in state.idle:
                connection.close()
            state.idle.clear()

    async def _try_servers(self, work: Callable[[LdapConnection, Server], Awaitable[Found]]) -> Found:
        failure: LdapError | None = None
        for state in sorted(self._states, key=lambda state: state.dead_until > self._clock()):
            if failure is not None:
                self._report(failure)
            try:
                async with asyncio.timeout(self._deadline):
                    found = await self._try_server(state, work)
            except TimeoutError:
                failure = LdapError(f"{state.server.url}: no answer within {self._deadline:g} seconds")
            except LdapError as error:
                failure = error if state.server.url in str(error) else LdapError(f"{state.server.url}: {error}")
            else:
                state.dead_until = 0.0
                return found
            state.dead_until = self._clock() + DEAD_TIME
        raise failure or LdapError("no server is configured")

    async def _try_server(self, state: _State, work: Callable[[LdapConnection, Server], Awaitable[Found]]) -> Found:
        connection = self._take_idle(state)
        if connection is not None:
            try:
                return await self._work(state, connection, work)
            except LdapError:
                if not connection.closed:
                    raise
                # The server may have closed it while it was idle: a new one decides.
        return await self._work(state, await self._connect(state.server), work)

    async def _work(
        self, state: _State, connection: LdapConnection, work: Callable[[LdapConnection, Server], Awaitable[Found]]
    ) -> Found:
        try:
            return await work(connection, state.server)
        finally:
            self._give_back(state, connection)

    def _take_idle(self, state: _State) -> LdapConnection | None:
        oldest = self._clock() - IDLE_TIME
        while state.idle:
            connection = state.idle.pop()
            if not connection.closed and connection.idle_since >= oldest:
                return connection
            connection.close()
        return None

    def _give_back(self, state: _State, connection: LdapConnection) -> None:
        if connection.closed or self._closed or len(state.idle) >= MAX_IDLE:
            connection.close()
            return
        connection.idle_since = self._clock()
        state.idle.append(connection)

    async def _connect(self, server: Server) -> LdapConnection:
        try:
            addresses = await self._resolver.find(server.host)
        except OSError as error:
            raise LdapError(f"{server.url}: {error.strerror or error}") from error
        failure: LdapError | None = None
        for address in addresses:
            try:
                return await LdapConnection.connect(server, address)
            except LdapError as error:
                failure = error
        raise failure or LdapError(f"{server.url}: the name has no address")
