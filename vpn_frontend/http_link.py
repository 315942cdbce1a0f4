# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP/1.1 on one link, without I/O: bytes in, whole requests or refusals out, answers as bytes.

h11 keeps the grammar; this adds what it leaves to its user: sizes, an upper number of requests, and one request at a
time: bytes behind a request that is not answered yet come from a pipelining client or an attempt to smuggle, and end
the link. A CONNECT is different: what follows it belongs to the tunnel and is handed over with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import h11

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_HEAD = 16 * 1024  # bytes of request line and headers together
MAX_BODY = 256 * 1024  # bytes; a login of the largest client is below 8 KB
MAX_EARLY = 64 * 1024  # bytes a client may send behind its CONNECT before the answer
MAX_HEADERS = 100  # per request
MAX_REQUESTS = 100  # per link; a whole AnyConnect login with its downloads takes about 20


@dataclass(frozen=True, slots=True)
class Request:
    """One whole request. ``path`` is without the query; header names are lower case."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str, default: str = "") -> str:
        """The first header of that (lower case) name."""
        return next((value for key, value in self.headers if key == name), default)

    def cookie(self, name: str) -> str:
        """The first cookie of that name, or nothing; never longer than a header is."""
        for key, value in self.headers:
            if key != "cookie":
                continue
            for pair in value.split(";"):
                cookie, _, content = pair.strip().partition("=")
                if cookie == name:
                    return content.strip().strip('"')
        return ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One response. ``headers`` keep their spelling and order on the wire; the length is added."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    close: bool = False


class HttpError(Exception):
    """The peer broke HTTP or a limit: ``status`` and ``reason`` are the last answer of this link."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


class HttpLink:
    """The server's end of one connection. After an ``HttpError`` only ``refuse`` may be called."""

    def __init__(self) -> None:
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._request: h11.Request | None = None
        self._body = bytearray()
        self._early = bytearray()
        self._requests = 0
        self._tunnel_wanted = False
        self.awaiting_answer = False  # a whole request is out and has no answer yet

    def receive(self, data: bytes) -> Request | None:
        """Take bytes of the peer; the request that they complete, if they do. Raises ``HttpError``."""
        if not data:
            return None  # to h11 it would be the end of the stream
        if self._tunnel_wanted:
            self._keep_early(data)
            return None
        if self.awaiting_answer:
            raise HttpError(400, "One request at a time")
        try:
            self._h11.receive_data(data)
            return self._next_request()
        except h11.RemoteProtocolError as error:
            raise HttpError(error.error_status_hint, _REASONS.get(error.error_status_hint, "Bad Request")) from error

    def answer(self, answer: Answer) -> bytes:
        """The bytes of a response to the request that waits for one."""
        close = answer.close or self._tunnel_wanted or self._requests >= MAX_REQUESTS
        headers = [*answer.headers, ("Content-Length", str(len(answer.body)))]
        if close:
            headers.append(("Connection", "close"))
        response = h11.Response(
            status_code=answer.status, headers=_encode(headers), reason=answer.reason.encode("latin-1")
        )
        out = self._send(response)
        if self._request is not None and self._request.method != b"HEAD":
            out += self._send(h11.Data(data=answer.body))
        out += self._send(h11.EndOfMessage())
        self.awaiting_answer = False
        if not self.closing:
            self._h11.start_next_cycle()
            self._request, self._body = None, bytearray()
        return out

    def open_tunnel(self, reason: str, headers: Iterable[tuple[str, str]]) -> tuple[bytes, bytes]:
        """The head of a 200 to CONNECT, and the bytes that the peer sent behind its request."""
        head = self._send(h11.Response(status_code=200, headers=_encode(headers), reason=reason.encode("latin-1")))
        return head, bytes(self._early)

    def refuse(self, error: HttpError) -> bytes:
        """The last bytes of a link whose peer broke the rules; nothing if an answer was already under way."""
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return b""
        body = f"{error.reason}\n".encode("latin-1", "replace")
        return (
            f"HTTP/1.1 {error.status} {error.reason}\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        ).encode("latin-1", "replace") + body

    @property
    def closing(self) -> bool:
        """The link ends with the answer that was sent last."""
        return self._h11.our_state in (h11.MUST_CLOSE, h11.CLOSED, h11.ERROR)

    def _next_request(self) -> Request | None:
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                return None
            if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return None
            if isinstance(event, h11.Request):
                self._begin(event)
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > MAX_BODY:
                    raise HttpError(413, "Content Too Large")
            elif isinstance(event, h11.EndOfMessage):
                return self._complete()

    def _begin(self, request: h11.Request) -> None:
        self._requests += 1
        self._request = request
        if len(request.headers) > MAX_HEADERS:
            raise HttpError(431, _REASONS[431])
        for name, value in request.headers:
            if name == b"content-length" and int(value) > MAX_BODY:
                raise HttpError(413, "Content Too Large")

    def _complete(self) -> Request:
        request = self._request
        if request is None:  # h11 ends no message that it did not begin
            raise HttpError(400, "Bad Request")
        self.awaiting_answer = True
        trailing, _ = self._h11.trailing_data
        if request.method == b"CONNECT":
            self._tunnel_wanted = True
            self._keep_early(trailing)
        elif trailing:
            raise HttpError(400, "One request at a time")
        path, _, query = request.target.decode("latin-1").partition("?")
        return Request(
            method=request.method.decode("latin-1"),
            path=path,
            query=query,
            headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers),
            body=bytes(self._body),
        )

    def _keep_early(self, data: bytes) -> None:
        if len(self._early) + len(data) > MAX_EARLY:
            raise HttpError(400, "Too much sent before the tunnel")
        self._early += data

    def _send(self, event: h11.Event) -> bytes:
        return self._h11.send(event) or b""


def _encode(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("latin-1", "replace")) for name, value in headers]


_REASONS = {
    400: "Bad Request",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
}
