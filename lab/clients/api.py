# SPDX-License-Identifier: GPL-3.0-or-later
"""Client of the admin API: HTTP with a bearer token, and one-line JSON commands on the Unix socket."""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING, Any

from lab.timeouts import TIMEOUT

if TYPE_CHECKING:
    from pathlib import Path

    from lab.namespaces import Namespace

ADMIN_PORT = 8443


class Api:
    """Calls over one persistent connection, made inside the server's namespace."""

    def __init__(self, gateway: Namespace, token: str, *, timeout: float = TIMEOUT) -> None:
        """``timeout``: seconds for an answer."""
        self._gateway, self._timeout = gateway, timeout
        self.token = token
        self._connection: http.client.HTTPConnection | None = None

    def another(self, *, timeout: float = TIMEOUT) -> Api:
        """Returns a client with the same token and its own connection, for another thread."""
        return Api(self._gateway, self.token, timeout=timeout)

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Returns the status and the parsed body."""
        headers = {"Authorization": f"Bearer {self.token}"}
        if method in {"PUT", "PATCH", "DELETE"}:
            headers["If-Match"] = "*"
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        kept = self._connection
        try:
            response = self._exchange(kept or self._connect(), method, path, data, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            self.close()
            if kept is None:
                raise
            # The server closes connections that were idle for long.
            response = self._exchange(self._connect(), method, path, data, headers)
        except BaseException:
            self.close()
            raise
        text = response.read()
        if response.will_close:
            self.close()
        kind = response.headers.get_content_type()
        return response.status, json.loads(text) if text and kind.endswith("json") else text.decode()

    def get(self, path: str) -> Any:
        return self.expect(200, "GET", path)

    def expect(self, status: int, method: str, path: str, body: object = None) -> Any:
        got, answer = self.call(method, path, body)
        assert got == status, f"{method} {path}: {got} {answer}"
        return answer

    def block(self, cidr: str, reason: str, **more: object) -> Any:
        return self.expect(201, "POST", "/api/v1/blocks", {"cidr": cidr, "reason": reason, **more})

    def unblock(self, block_id: str) -> None:
        status, answer = self.call("DELETE", f"/api/v1/blocks/{block_id}")
        assert status in {200, 204}, answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @staticmethod
    def _exchange(
        connection: http.client.HTTPConnection, method: str, path: str, data: bytes | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        connection.request(method, path, data, headers)
        return connection.getresponse()

    def _connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", ADMIN_PORT)
        connection.sock = self._gateway.connect(("127.0.0.1", ADMIN_PORT), timeout=self._timeout)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        return connection


def command_line(path: Path, command: dict[str, object]) -> dict[str, Any]:
    """Sends one JSON command line on the Unix socket and returns the parsed answer."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(TIMEOUT)
        stream.connect(str(path))
        stream.sendall(json.dumps(command).encode() + b"\n")
        with stream.makefile("rb") as lines:
            return json.loads(lines.readline())
