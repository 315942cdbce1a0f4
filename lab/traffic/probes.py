# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS probes: does the server accept this source, and does it send a byte?"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from lab.network import SERVER_IPV4, Host
from lab.timeouts import TIMEOUT, eventually

if TYPE_CHECKING:
    import socket


class ProbeResult(Enum):
    """How a probe ended."""

    HANDSHAKE = "a TLS handshake was completed"
    CLOSED = "the connection was closed before the server sent a byte"
    CLOSED_AFTER_DATA = "the server sent bytes and then closed"


@dataclass(frozen=True, slots=True)
class Target:
    """Address and TCP port of a probe."""

    host: str = SERVER_IPV4
    port: int = 443


def tls_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def probe(host: Host, target: Target = Target(), *, source: str | None = None, timeout: float = TIMEOUT) -> ProbeResult:
    """Connects and tries one TLS handshake. The result accounts for every byte that the server sent."""
    try:
        with host.namespace.connect((target.host, target.port), timeout=timeout, source=source) as stream:
            return _handshake(stream)
    except ConnectionResetError:
        return ProbeResult.CLOSED


def await_probe(host: Host, wanted: ProbeResult) -> None:
    """Probes until the result is ``wanted``."""
    eventually(lambda: probe(host), lambda found: found is wanted, f"{wanted}")


def _handshake(stream: socket.socket) -> ProbeResult:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = tls_context().wrap_bio(incoming, outgoing)
    received = 0
    try:
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                stream.sendall(outgoing.read())
                data = stream.recv(16384)
                if not data:
                    return ProbeResult.CLOSED_AFTER_DATA if received else ProbeResult.CLOSED
                received += len(data)
                incoming.write(data)
            else:
                stream.sendall(outgoing.read())
                return ProbeResult.HANDSHAKE
    except (ConnectionResetError, BrokenPipeError):
        return ProbeResult.CLOSED_AFTER_DATA if received else ProbeResult.CLOSED


def closes_without_data(host: Host, target: Target = Target(), *, silence: float = 5) -> bool:
    """True if the server closes the connection before it sends a byte.

    The client sends nothing for ``silence`` seconds, then a ClientHello: a waiting server answers, a late one closes.
    """
    try:
        with host.namespace.connect((target.host, target.port)) as stream:
            stream.settimeout(silence)
            try:
                return stream.recv(1) == b""
            except TimeoutError:
                stream.settimeout(TIMEOUT)
                return _handshake(stream) is ProbeResult.CLOSED
    except ConnectionResetError:
        return True


def open_tls(host: Host, target: Target = Target(), *, timeout: float = TIMEOUT) -> ssl.SSLSocket:
    stream = host.namespace.connect((target.host, target.port), timeout=timeout)
    try:
        return tls_context().wrap_socket(stream)
    except BaseException:
        stream.close()
        raise


def drain(stream: socket.socket) -> bytes:
    """Returns what the server sends until it closes. Raises TimeoutError if it neither sends nor closes."""
    parts: list[bytes] = []
    try:
        while data := stream.recv(65536):
            parts.append(data)
    except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return b"".join(parts)
    return b"".join(parts)
