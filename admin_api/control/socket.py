# SPDX-License-Identifier: GPL-3.0-or-later
"""The Unix socket of the API: it speaks HTTP and one-line commands.

The first byte of a connection selects the protocol: a capital letter begins HTTP, ``{`` begins a command. The
kernel names the peer (SO_PEERCRED): root and the server's own user have every scope without a token, other users are
refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
import struct
from typing import TYPE_CHECKING, cast

from admin_api.connections.http_connection import HttpConnection
from admin_api.connections.places import Places
from admin_api.control.lines import LineConnection, refusal
from admin_api.http.identity import ALL_SCOPES, Principal
from admin_api.http.paths import PRINCIPAL
from admin_api.http.problems import ProblemKind

if TYPE_CHECKING:
    from pathlib import Path

    import uvicorn
    from starlette.types import ASGIApp, Receive, Scope, Send

    from admin_api.control.commands import LineCommands

MAX_CONNECTIONS = 64
SHARE = 32  # of one process
FIRST_BYTE = 10.0  # seconds until a new connection must send its first byte
BACKLOG = 64
CREDENTIALS = struct.Struct("3i")  # pid, uid, gid (unix(7), struct ucred)


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
        self._places = Places(MAX_CONNECTIONS, SHARE)

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
        for connection in self._places.occupants():
            cast("_Connection", connection).close()
        self._server = None

    def admit(self, source: int, connection: _Connection) -> bool:
        """Give the connection a place. Returns false if there is none. Pair with ``release``."""
        return self._places.take(source, connection)

    def release(self, connection: _Connection) -> None:
        self._places.release(connection)

    def http_connection(self, principal: Principal) -> HttpConnection:
        """Returns a connection that serves HTTP requests as ``principal``."""
        connection = HttpConnection(self._http, lambda _: None)
        connection.app = _WithPrincipal(connection.app, principal)
        return connection

    def line_connection(self, principal: Principal) -> LineConnection:
        """Returns a connection that answers one-line commands as ``principal``."""
        return LineConnection(self._commands, principal.name)


class _Connection(asyncio.Protocol):
    """One connection: its first byte selects the protocol that receives everything."""

    def __init__(self, owner: ControlSocket) -> None:
        self._owner = owner
        self._protocol: asyncio.Protocol | None = None
        self._http: HttpConnection | None = None
        self._lines: LineConnection | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._principal: Principal | None = None

    def waits_for_peer(self) -> bool:
        if self._http is not None:
            return self._http.waits_for_peer()
        return self._lines is None or not self._lines.answering

    def leave(self) -> None:
        self._transport.abort()

    def close(self) -> None:
        """Close once the pending bytes are sent."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        pid, principal = _peer_of(transport)
        if principal is None:
            self._refuse(ProblemKind.FORBIDDEN, "only root and the user of the server may use this socket")
        elif not self._owner.admit(pid, self):
            self._refuse(ProblemKind.UNAVAILABLE, "too many connections; repeat the command later")
        else:
            self._principal = principal
            self._deadline = asyncio.get_running_loop().call_later(FIRST_BYTE, transport.close)

    def data_received(self, data: bytes) -> None:
        if self._principal is None:
            return
        if self._protocol is None:
            data = data.lstrip()
            if not data:
                return  # the deadline of the first byte goes on
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
        self._owner.release(self)
        if self._deadline is not None:
            self._deadline.cancel()
        if self._protocol is not None:
            self._protocol.connection_lost(exc)

    def _choose_protocol(self, data: bytes, principal: Principal) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if data.startswith(b"{"):
            self._lines = self._owner.line_connection(principal)
            self._protocol = self._lines.protocol()
        elif data[:1].isalpha() and data[:1].isupper():
            self._protocol = self._http = self._owner.http_connection(principal)
        else:
            self._principal = None
            self._refuse(ProblemKind.INVALID, "send HTTP, or one JSON object per line")
            return
        self._protocol.connection_made(self._transport)

    def _refuse(self, kind: ProblemKind, detail: str) -> None:
        self._transport.write(refusal(kind, detail))
        self._transport.close()


class _WithPrincipal:
    """The application, with the caller's principal set."""

    def __init__(self, app: ASGIApp, principal: Principal) -> None:
        self._app = app
        self._principal = principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[PRINCIPAL] = self._principal
        await self._app(scope, receive, send)


def _peer_of(transport: asyncio.BaseTransport) -> tuple[int, Principal | None]:
    """Returns the peer's process, and its principal if its user may use the socket."""
    connection: socket.socket = transport.get_extra_info("socket")
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    pid, uid, _ = CREDENTIALS.unpack(raw)
    if uid not in {0, os.geteuid()}:
        return pid, None
    return pid, Principal(f"local:uid={uid}", ALL_SCOPES, local=True)


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
