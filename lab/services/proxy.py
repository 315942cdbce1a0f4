# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP proxy that puts a PROXY header in front of the client's bytes, as haproxy does with ``send-proxy-v2``."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.namespaces import Namespace

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
Place = tuple[str, int]


def header_v1(source: Place, destination: Place) -> bytes:
    family = "TCP6" if ":" in source[0] else "TCP4"
    return f"PROXY {family} {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n".encode()


def header_v2(source: Place, destination: Place, tlvs: bytes = b"", *, command: int = PROXY) -> bytes:
    addresses = ip_address(source[0]).packed + ip_address(destination[0]).packed
    body = addresses + struct.pack("!HH", source[1], destination[1]) + tlvs
    return SIGNATURE + struct.pack("!BBH", command, 0x21 if ":" in source[0] else 0x11, len(body)) + body


class ProxyServer:
    """Passes connections to ``listen`` on to ``server``, both in ``namespace``. A context."""

    def __init__(
        self,
        namespace: Namespace,
        listen: Place,
        server: Place,
        make_header: Callable[[Place, Place], bytes] = header_v2,
    ) -> None:
        self._namespace, self._server, self._make_header = namespace, server, make_header
        self._listener = namespace.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(listen)
        self._listener.listen()
        self._streams: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self._listener, *self._streams):
            with suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
            stream.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, source = self._listener.accept()
                server = self._namespace.connect(self._server)
                server.settimeout(None)
                server.sendall(self._make_header(source[:2], client.getsockname()[:2]))
                self._streams += [client, server]
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=_relay, args=(one, other), daemon=True).start()


def _relay(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
