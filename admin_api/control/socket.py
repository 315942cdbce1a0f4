# SPDX-License-Identifier: GPL-3.0-or-later
"""The Unix socket of the API: it speaks HTTP and one-line commands.

The first byte of a connection selects the protocol: no HTTP request begins with ``{``. The kernel names the peer
(SO_PEERCRED): root and the server's own user have every scope without a token, other users are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import stat
import struct
from typing import TYPE_CHECKING, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from admin_api.dependencies import PRINCIPAL
from admin_api.http.identity import ALL_SCOPES, Principal

if TYPE_CHECKING:
    from pathlib import Path

    import uvicorn
    from starlette.types import ASGIApp, Receive, Scope, Send

    from admin_api.control.commands import LineCommands

MAX_CONNECTIONS = 64
MAX_LINE = 64 * 1024  # bytes; a command has a few hundred
FIRST_BYTE = 10.0  # seconds until a new connection must send its first byte
BACKLOG = 64
CREDENTIALS = struct.Struct("3i")  # pid, uid, gid (unix(7), struct ucred)

logger = logging.getLogger(__name__)


class SocketInUseError(OSError):
    """Another server answers on the socket."""


class ControlSocket:
    """The listening Unix socket and its open connections, at most ``MAX_CONNECTIONS``."""

    def __init__(self, path: Path, server: uvicorn.Server, commands: LineCommands) -> None:
        """``server`` must be running: HTTP connections use its configuration and state."""
        self._path = path
        self._http = server
        self._commands = commands
        self._server: asyncio.Server | None = None
        self._inode: tuple[int, int] | None = None
        self._open: set[asyncio.BaseTransport] = set()

    async def start(self) -> None:
        """Listen. Raises ``OSError`` with a sentence for the operator."""
        _remove_stale(self._path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.bind(str(self._path))
            # No client can connect before listen(), so the wider mode between bind() and chmod() is never used.
            self._path.chmod(0o600)
            found = self._path.stat()
            self._inode = (found.st_dev, found.st_ino)
            self._server = await asyncio.get_running_loop().create_unix_server(
                lambda: _Connection(self), sock=listener, backlog=BACKLOG
            )
        except OSError as error:
            listener.close()
            raise OSError(
                error.errno, f"the control socket {self._path} cannot be created: {error.strerror}"
            ) from error

    async def stop(self) -> None:
        """Stop listening, remove the file, close the open connections."""
        if self._server is None:
            return
        self._server.close()
        with contextlib.suppress(FileNotFoundError):
            found = self._path.stat()
            if (found.st_dev, found.st_ino) == self._inode:  # another server may have replaced the file
                self._path.unlink()
        for transport in tuple(self._open):
            transport.close()
        self._server = None

    def admit(self, transport: asyncio.BaseTransport) -> Principal | None:
        """Returns the peer's principal, ``None`` if it is refused. Pair each admission with ``release``."""
        principal = _principal_of(transport)
        if principal is None or len(self._open) >= MAX_CONNECTIONS:
            return None
        self._open.add(transport)
        return principal

    def release(self, transport: asyncio.BaseTransport) -> None:
        self._open.discard(transport)

    def http_protocol(self, principal: Principal) -> asyncio.Protocol:
        """Returns a protocol that serves HTTP requests as ``principal``."""
        protocol = H11Protocol(self._http.config, self._http.server_state, {})
        protocol.app = _WithPrincipal(protocol.app, principal)
        return protocol

    def line_protocol(self, principal: Principal) -> asyncio.Protocol:
        """Returns a protocol that answers one-line commands as ``principal``."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await self._serve_lines(reader, writer, principal.name)
            except ConnectionError:
                logger.debug("a client of the control socket disconnected before its answer")
            finally:
                writer.close()

        return asyncio.StreamReaderProtocol(asyncio.StreamReader(limit=MAX_LINE), serve)

    async def _serve_lines(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, by: str) -> None:
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError as end:
                line = end.partial  # the last line may lack its end
            except asyncio.LimitOverrunError:
                writer.write(b'{"ok":false,"error":"too_large","detail":"a command is one line of at most 64 KiB"}\n')
                await writer.drain()
                return
            if line.strip():
                writer.write(await self._commands.answer(line, by))
                await writer.drain()
            if not line.endswith(b"\n"):
                return


class _Connection(asyncio.Protocol):
    """One connection: its first byte selects the protocol that receives everything."""

    def __init__(self, owner: ControlSocket) -> None:
        self._owner = owner
        self._protocol: asyncio.Protocol | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._principal: Principal | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._principal = self._owner.admit(transport)
        if self._principal is None:
            self._transport.write(
                b'{"ok":false,"error":"forbidden","detail":"too many connections, or the user is not allowed"}\n'
            )
            self._transport.close()
            return
        self._deadline = asyncio.get_running_loop().call_later(FIRST_BYTE, transport.close)

    def data_received(self, data: bytes) -> None:
        if self._principal is None:
            return
        if self._protocol is None:
            self._choose_protocol(data, self._principal)
        if self._protocol is not None:
            self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._protocol is None else self._protocol.eof_received()

    def pause_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.release(self._transport)
        if self._deadline is not None:
            self._deadline.cancel()
        if self._protocol is not None:
            self._protocol.connection_lost(exc)

    def _choose_protocol(self, data: bytes, principal: Principal) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        make = self._owner.line_protocol if data.startswith(b"{") else self._owner.http_protocol
        self._protocol = make(principal)
        self._protocol.connection_made(self._transport)


class _WithPrincipal:
    """The application, with the caller's principal set."""

    def __init__(self, app: ASGIApp, principal: Principal) -> None:
        self._app = app
        self._principal = principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[PRINCIPAL] = self._principal
        await self._app(scope, receive, send)


def _principal_of(transport: asyncio.BaseTransport) -> Principal | None:
    connection: socket.socket = transport.get_extra_info("socket")
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, uid, _ = CREDENTIALS.unpack(raw)
    if uid not in {0, os.geteuid()}:
        return None
    return Principal(f"local:uid={uid}", ALL_SCOPES, local=True)


def _remove_stale(path: Path) -> None:
    """Remove the socket of a dead server. Raises ``OSError`` if a server answers or the path is no socket."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, f"{path} exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise SocketInUseError(errno.EADDRINUSE, f"another server listens on {path}")
