# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections below the VPN client: does the server let this source in, and does it say a byte?"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from lab.bounds import eventually
from lab.network import SERVER_IPV4, Host
from lab.patience import PATIENCE

if TYPE_CHECKING:
    import socket


class Door(Enum):
    OPEN = "a TLS handshake was completed"
    SHUT = "the connection was closed before the server sent a byte"
    SPOKE = "the server sent bytes and then closed"


@dataclass(frozen=True, slots=True)
class Target:
    host: str = SERVER_IPV4
    port: int = 443


def tls_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def knock(host: Host, target: Target = Target(), *, source: str | None = None, timeout: float = PATIENCE) -> Door:
    """One connection: a handshake if the server takes part in it. Every byte the server sent before is looked at."""
    try:
        with host.namespace.connect((target.host, target.port), timeout=timeout, source=source) as stream:
            return _shake_hands(stream)
    except ConnectionResetError:
        return Door.SHUT


def await_door(host: Host, wanted: Door) -> None:
    """Knocks until it is so."""
    eventually(lambda: knock(host), lambda found: found is wanted, f"{wanted}")


def _shake_hands(stream: socket.socket) -> Door:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = tls_context().wrap_bio(incoming, outgoing)
    heard = 0
    try:
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                stream.sendall(outgoing.read())
                data = stream.recv(16384)
                if not data:
                    return Door.SPOKE if heard else Door.SHUT
                heard += len(data)
                incoming.write(data)
            else:
                stream.sendall(outgoing.read())
                return Door.OPEN
    except (ConnectionResetError, BrokenPipeError):
        return Door.SPOKE if heard else Door.SHUT


def silent_close(host: Host, target: Target = Target(), *, silence: float = 5) -> bool:
    """True if the server closes a connection without a byte on which the client says nothing.

    After so many seconds of ``silence`` the client does speak, to tell a server that waits from one that is late.
    """
    try:
        with host.namespace.connect((target.host, target.port)) as stream:
            stream.settimeout(silence)
            try:
                return stream.recv(1) == b""
            except TimeoutError:
                stream.settimeout(PATIENCE)
                return _shake_hands(stream) is Door.SHUT
    except ConnectionResetError:
        return True


def open_tls(host: Host, target: Target = Target(), *, timeout: float = PATIENCE) -> ssl.SSLSocket:
    stream = host.namespace.connect((target.host, target.port), timeout=timeout)
    try:
        return tls_context().wrap_socket(stream)
    except BaseException:
        stream.close()
        raise


def drain(stream: socket.socket) -> bytes:
    """All the server says until it closes; an error if it goes silent without closing."""
    parts: list[bytes] = []
    try:
        while data := stream.recv(65536):
            parts.append(data)
    except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return b"".join(parts)
    return b"".join(parts)
