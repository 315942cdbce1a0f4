# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves the application on a TCP port and on the Unix socket, on the server's event loop.

It installs no signal handlers: the composition root decides when to stop.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import uvicorn

from admin_api.connections.bound_socket import bind_endpoint
from admin_api.connections.tcp_listener import TcpListener
from admin_api.control.commands import LineCommands
from admin_api.control.socket import ControlSocket

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from fastapi import FastAPI

    from admin_api.services import Services
    from vpn_frontend.settings import Endpoint

KEEP_ALIVE = 30  # seconds until an idle connection is closed
TICK = 1.0  # seconds between two dates for the header
GRACE = 2  # seconds that pending answers get when the server stops


class ApiServer:
    """The listening API: a TCP port, a Unix socket, or both."""

    def __init__(
        self,
        app: FastAPI,
        services: Services,
        *,
        listen: Endpoint | socket.socket | None,
        socket_path: Path | None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """``listen`` is an address, or a socket of ``bind_endpoint``. ``tls`` switches TLS on for the TCP port."""
        self._listen = listen
        self._tls = tls
        self._services = services
        self._listener: socket.socket | None = None
        self._tcp: TcpListener | None = None
        self._server = _InProcess(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,  # never trust an address in a header
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=GRACE,
            )
        )
        self._task: asyncio.Task[None] | None = None
        self._control = (
            None if socket_path is None else ControlSocket(socket_path, self._server, LineCommands(services))
        )

    @property
    def port(self) -> int:
        """The TCP port of the API. Raises ``RuntimeError`` if it has none."""
        if self._listener is None:
            raise RuntimeError("the API has no TCP port")
        port: int = self._listener.getsockname()[1]
        return port

    async def start(self) -> None:
        """Listen on both sockets. Raises ``OSError`` if one cannot be opened; then neither is open."""
        if self._listen is not None:
            self._listener = self._listen if isinstance(self._listen, socket.socket) else bind_endpoint(self._listen)
        self._task = asyncio.create_task(self._server.serve([]), name="admin api")
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait([self._task, listening], return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            listening.cancel()
            self._task.result()
            raise RuntimeError("the API ended before it listened")
        if self._listener is not None:
            self._tcp = TcpListener(self._listener, self._server, self._tls)
            self._tcp.start()
        if self._control is not None:
            try:
                await self._control.start()
            except OSError:
                await self.stop()
                raise

    async def stop(self) -> None:
        """Stop listening, end the event streams, and wait up to ``GRACE`` seconds for pending answers."""
        self._services.events.close()
        if self._control is not None:
            await self._control.stop()
        if self._tcp is not None:
            await self._tcp.stop()
            self._tcp = None
        if self._task is not None:
            self._server.leave()
            await self._task
            self._task = None


class _InProcess(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        self.should_exit = True
        self._leaving.set()

    async def main_loop(self) -> None:
        """Refreshes the date header once a second, where the library wakes up ten times to look for its end."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._leaving.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()
