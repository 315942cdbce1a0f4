# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the AnyConnect protocol that sends exactly what a test says: login, CONNECT, CSTP frames."""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from lab.timeouts import TIMEOUT
from lab.traffic.probes import Target, open_tls

if TYPE_CHECKING:
    import ssl

    from lab.network import Host

DATA, DPD_REQUEST, DPD_RESPONSE, DISCONNECT, KEEPALIVE, COMPRESSED, TERMINATE = 0, 3, 4, 5, 7, 8, 9
OFFERS = ("X-CSTP-Version: 1", "X-CSTP-Address-Type: IPv6,IPv4", "X-CSTP-Full-IPv6-Capability: true")
_GATEWAY = Target()
_USER_REQUEST = b"\xb0"  # the reason of a DISCONNECT


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response. Header names are in lower case; of a repeated one the values are in sequence."""

    status: int
    headers: dict[str, list[str]]
    body: bytes = b""
    rest: bytes = b""  # what came behind it

    def first(self, name: str) -> str:
        return self.headers.get(name, [""])[0]


@dataclass(slots=True)
class Tunnel:
    """An open tunnel over TLS."""

    stream: ssl.SSLSocket
    ipv4: str
    ipv6: str
    headers: dict[str, list[str]] = field(repr=False)
    pending: bytes = b""

    def send(self, kind: int, payload: bytes = b"") -> None:
        self.stream.sendall(frame(kind, payload))

    def receive(self) -> tuple[int, bytes]:
        """Returns the next frame's type and payload. Raises ConnectionError when the server closed."""
        head = self._exactly(8)
        if head[:4] != b"STF\x01":
            raise ValueError(f"not a CSTP frame: {head!r}")
        return head[6], self._exactly(int.from_bytes(head[4:6], "big"))

    def answers(self) -> bool:
        """True if the server answers a DPD request; other frames before it are skipped."""
        self.send(DPD_REQUEST, b"alive?")
        try:
            while self.receive()[0] != DPD_RESPONSE:
                pass
        except OSError:
            return False
        return True

    def disconnect(self) -> None:
        """Ends the session as a user does."""
        try:
            self.send(DISCONNECT, _USER_REQUEST + b"done")
        finally:
            self.stream.close()

    def _exactly(self, size: int) -> bytes:
        while len(self.pending) < size:
            data = self.stream.recv(65536)
            if not data:
                raise ConnectionError("closed by the server")
            self.pending += data
        taken, self.pending = self.pending[:size], self.pending[size:]
        return taken


def frame(kind: int, payload: bytes = b"", *, size: int | None = None, magic: bytes = b"STF\x01") -> bytes:
    """One CSTP frame; ``size`` lies about the payload's length."""
    return magic + struct.pack("!HBB", len(payload) if size is None else size, kind, 0) + payload


def read_answer(stream: socket.socket, *, body: bool = True) -> Answer:
    """Reads one response. Raises ConnectionError if the server closes before its end."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(stream)
    head, _, rest = data.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.lower(), []).append(value.strip())
    size = int(headers.get("content-length", ["0"])[0]) if body else 0
    while len(rest) < size:
        rest += _some(stream)
    return Answer(int(status.split()[1]), headers, rest[:size], rest[size:])


def login_request(user: str, password: str, *, context: str = "") -> bytes:
    document = (
        '<?xml version="1.0" encoding="UTF-8"?><config-auth client="vpn" type="auth-reply"><auth>'
        f"<username>{escape(user)}</username><password>{escape(password)}</password></auth></config-auth>"
    ).encode()
    cookie = f"Cookie: webvpncontext={context}\r\n" if context else ""
    head = f"POST /auth HTTP/1.1\r\nHost: vpn.example.org\r\n{cookie}Content-Length: {len(document)}\r\n\r\n"
    return head.encode() + document


def connect_request(cookie: str, *headers: str) -> bytes:
    lines = ["CONNECT /CSCOSSLC/tunnel HTTP/1.1", "Host: vpn.example.org", f"Cookie: webvpn={cookie}", *headers]
    return ("\r\n".join([*lines, "", ""])).encode("latin-1")


def log_in(host: Host, user: str, password: str, *, target: Target = _GATEWAY, timeout: float = TIMEOUT) -> str:
    """Returns the session cookie, or an empty text if the login was refused."""
    with open_tls(host, target, timeout=timeout) as stream:
        stream.sendall(login_request(user, password))
        answer = read_answer(stream)
    cookies = [re.match(r"webvpn=([^;]+)", value) for value in answer.headers.get("set-cookie", [])]
    return next((found[1] for found in cookies if found), "")


def open_tunnel(
    host: Host, cookie: str, *headers: str, target: Target = _GATEWAY, timeout: float = TIMEOUT
) -> Tunnel | Answer:
    """Returns the tunnel, or the answer that refused it."""
    stream = open_tls(host, target, timeout=timeout)
    try:
        stream.sendall(connect_request(cookie, *OFFERS, *headers))
        answer = read_answer(stream, body=False)
    except BaseException:
        stream.close()
        raise
    if answer.status != 200:
        stream.close()
        return answer
    ipv6 = answer.first("x-cstp-address-ip6").partition("/")[0]
    return Tunnel(stream, answer.first("x-cstp-address"), ipv6, answer.headers, answer.rest)


def _some(stream: socket.socket) -> bytes:
    data = stream.recv(65536)
    if not data:
        raise ConnectionError("closed by the server")
    return data
