# SPDX-License-Identifier: GPL-3.0-or-later
"""The Unix socket beside the TCP port: the same API over HTTP, and commands of one line.

The first byte of a connection tells which: no HTTP request begins with ``{``. Who is at the other end is asked of the
kernel (SO_PEERCRED): root and the server's own user may do everything, without a token; nobody else is answered.
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
MAX_LINE = 64 * 1024  # bytes; a command is some hundred
FIRST_BYTE = 10.0  # seconds for a connection to say what it speaks
BACKLOG = 64
CREDENTIALS = struct.Struct("3i")  # pid, uid, gid (unix(7), struct ucred)

logger = logging.getLogger(__name__)


class SocketInUseError(OSError):
    """Another server answers on the socket."""


class ControlSocket:
    def __init__(self, path: Path, server: uvicorn.Server, commands: LineCommands) -> None:
        """``server`` is running; its configuration and state serve the connections that speak HTTP."""
        self._path = path
        self._http = server
        self._commands = commands
        self._server: asyncio.Server | None = None
        self._inode: tuple[int, int] | None = None
        self._open: set[asyncio.BaseTransport] = set()

    async def start(self) -> None:
        """Raises ``OSError`` with a sentence for the operator."""
        _remove_stale(self._path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.bind(str(self._path))
            # Nobody connects before listen(), so nobody finds the socket with wider rights than these.
            self._path.chmod(0o600)
            found = self._path.stat()
            self._inode = (found.st_dev, found.st_ino)
            self._server = await asyncio.get_running_loop().create_unix_server(
                lambda: _Connection(self), sock=listener, backlog=BACKLOG
            )
        except OSError as error:
            listener.close()
            raise OSError(error.errno, f"the control socket {self._path} cannot be made: {error.strerror}") from error

    async def stop(self) -> None:
        """Stop listening, remove the file, end what is still open."""
        if self._server is None:
            return
        self._server.close()
        with contextlib.suppress(FileNotFoundError):
            found = self._path.stat()
            if (found.st_dev, found.st_ino) == self._inode:  # not one that a newer server made meanwhile
                self._path.unlink()
        for transport in tuple(self._open):
            transport.close()
        self._server = None

    def admit(self, transport: asyncio.BaseTransport) -> Principal | None:
        """Who is at the other end, if it may speak; ``release`` must follow."""
        principal = _principal_of(transport)
        if principal is None or len(self._open) >= MAX_CONNECTIONS:
            return None
        self._open.add(transport)
        return principal

    def release(self, transport: asyncio.BaseTransport) -> None:
        self._open.discard(transport)

    def speak_http(self, principal: Principal) -> asyncio.Protocol:
        protocol = H11Protocol(self._http.config, self._http.server_state, {})
        protocol.app = _Vouched(protocol.app, principal)
        return protocol

    def speak_lines(self, principal: Principal) -> asyncio.Protocol:
        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await self._converse(reader, writer, principal.name)
            except ConnectionError:
                logger.debug("a client of the control socket left before its answer")
            finally:
                writer.close()

        return asyncio.StreamReaderProtocol(asyncio.StreamReader(limit=MAX_LINE), converse)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, by: str) -> None:
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
    """A connection; from its first byte on it passes everything to the protocol that it speaks."""

    def __init__(self, owner: ControlSocket) -> None:
        self._owner = owner
        self._speaks: asyncio.Protocol | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._principal: Principal | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._principal = self._owner.admit(transport)
        if self._principal is None:
            self._transport.write(b'{"ok":false,"error":"forbidden","detail":"too many connections, or not yours"}\n')
            self._transport.close()
            return
        self._deadline = asyncio.get_running_loop().call_later(FIRST_BYTE, transport.close)

    def data_received(self, data: bytes) -> None:
        if self._principal is None:
            return
        if self._speaks is None:
            self._settle_on(data, self._principal)
        if self._speaks is not None:
            self._speaks.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._speaks is None else self._speaks.eof_received()

    def pause_writing(self) -> None:
        if self._speaks is not None:
            self._speaks.pause_writing()

    def resume_writing(self) -> None:
        if self._speaks is not None:
            self._speaks.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.release(self._transport)
        if self._deadline is not None:
            self._deadline.cancel()
        if self._speaks is not None:
            self._speaks.connection_lost(exc)

    def _settle_on(self, data: bytes, principal: Principal) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        speak = self._owner.speak_lines if data.startswith(b"{") else self._owner.speak_http
        self._speaks = speak(principal)
        self._speaks.connection_made(self._transport)


class _Vouched:
    """The application, told who calls."""

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
    """Take away the socket of a server that is gone. Raises ``OSError`` where one lives, or a file is in the way."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, f"{path} is there and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise SocketInUseError(errno.EADDRINUSE, f"another server listens on {path}")
