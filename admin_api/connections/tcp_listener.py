# SPDX-License-Identifier: GPL-3.0-or-later
"""The TCP port of the API: accepts connections, each with a place from its first moment, also during the TLS handshake.

A source is one IPv4 address or one IPv6 /64.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from admin_api.connections.http_connection import HEAD_TIME, HttpConnection
from admin_api.connections.places import Places

if TYPE_CHECKING:
    import socket
    import ssl

    import uvicorn

MAX_CONNECTIONS = 256
SHARE = 96  # of one source: 64 event streams of one proxy, and some requests
BACKLOG = 128
ACCEPT_PAUSE = 1.0  # seconds without accepting after a failure, such as too many open files

logger = logging.getLogger(__name__)


class TcpListener:
    """Listens on ``listener``, which it owns."""

    def __init__(self, listener: socket.socket, server: uvicorn.Server, tls: ssl.SSLContext | None) -> None:
        """``server`` must be running while connections are accepted."""
        self._listener = listener
        self._server = server
        self._tls = tls
        self._places = Places(MAX_CONNECTIONS, SHARE)
        self._accepting: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._listener.setblocking(False)
        self._listener.listen(BACKLOG)
        self._accepting = asyncio.create_task(self._accept(), name="admin api: accept")

    async def stop(self) -> None:
        """Stop listening, and end the connections without a complete handshake. The others go on."""
        if self._accepting is not None:
            self._accepting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._accepting
        self._listener.close()
        for occupant in self._places.occupants():
            if isinstance(occupant, _Connection):
                occupant.cancel_handshake()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listener)
            except OSError as error:
                logger.warning("the API cannot accept a connection: %s", error.strerror)
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            occupant = _Connection(self._server, self._places)
            if self._places.take(source_of(address[0]), occupant):
                occupant.begin(connection, self._tls)
            else:
                connection.close()


class _Connection(HttpConnection):
    """One connection; it has its place before its handshake."""

    def __init__(self, server: uvicorn.Server, places: Places) -> None:
        super().__init__(server, places.release)
        self._places = places
        self._handshake: asyncio.Task[None] | None = None

    def begin(self, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Ownership of ``connection`` passes to the transport."""
        self._handshake = asyncio.create_task(self._connect(connection, tls), name="admin api: handshake")

    def leave(self) -> None:
        self.cancel_handshake()
        super().leave()

    def cancel_handshake(self) -> None:
        if self._handshake is not None and not self._handshake.done():
            self._handshake.cancel()

    async def _connect(self, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        limit = None if tls is None else HEAD_TIME
        try:
            await loop.connect_accepted_socket(lambda: self, connection, ssl=tls, ssl_handshake_timeout=limit)
        except OSError as error:  # ssl.SSLError and ConnectionError are among them
            logger.debug("a TLS handshake with the API failed: %s", error)
        finally:
            if self.transport is None:
                connection.close()
                self._places.release(self)


def source_of(address: str) -> str:
    """Returns what shares are counted by: an IPv4 address, or the /64 of an IPv6 address."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return f"{parsed.packed[:8].hex()}/64"
    return str(parsed)
