# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP/1.1 on one TLS connection, without I/O: takes bytes, gives whole requests or errors, and renders responses.

``parse_plain_request`` reads the spelling that clients use, h11 reads every other one. This module adds the limits that
the grammar leaves open: sizes, the number of requests, and one request at a time. Bytes behind an unanswered request
mean pipelining or request smuggling and end the connection. Bytes behind a CONNECT belong to the tunnel and are handed
over with it.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

import h11

from sentry_engine.records import dataclass
from vpn_frontend.http_headers import add_headers
from vpn_frontend.protocol.constants import MAX_BODY, MAX_HEAD, MAX_HEADERS
from vpn_frontend.protocol.http_fast_path import HttpRequest, parse_plain_request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vpn_frontend.http_headers import Header

MAX_EARLY = 32 * 1024  # bytes a client may send behind its CONNECT before the answer
MAX_REQUEST = 36 * 1024  # bytes of head and body: with what keeping them costs, less than 64 KiB
MAX_TRAILER = 1024  # bytes of fields behind a body, and of the line before a chunk; no client sends fields there
MAX_PIECES = 4096  # chunks and reads of one body; each costs about as much as a small request
MAX_REQUESTS = 100  # per connection; an AnyConnect login with its downloads takes about 20


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class HttpResponse:
    """One response. ``headers`` keep their spelling and sequence on the wire. The Content-Length is added."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    close: bool = False
    # The same as bytes, for a connection that stays open: see ``keep_rendered``. A changed copy has none.
    rendered: bytes = field(default=b"", init=False, compare=False, repr=False)


class HttpError(Exception):
    """The peer broke HTTP or a limit. ``status`` and ``reason`` are the last response of this connection."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


class HttpConnection:
    """The server's side of one connection. After an ``HttpError`` only ``refuse`` may be called."""

    __slots__ = ("_early", "_last", "_method", "_more", "_reader", "_requests", "awaiting_answer", "closing")

    def __init__(self, more_headers: tuple[Header, ...] = ()) -> None:
        """``more_headers`` are added to every response but that to CONNECT; those of the response go before them."""
        self._more = more_headers
        self._reader: _Reader | None = None  # of an incomplete request in another spelling
        self._method = ""  # of the latest request; its body, which may hold a password, is not kept
        self._early = b""
        self._requests = 0
        self._last = False  # no request may follow this one
        self.awaiting_answer = False  # the latest request has no response yet
        self.closing = False  # the connection ends with the latest response

    def receive(self, data: bytes) -> HttpRequest | None:
        """Take bytes of the peer. Returns the request that they complete, if any. Raises ``HttpError``."""
        if not data:
            return None  # h11 takes no bytes for the end of the stream
        if self.awaiting_answer:
            if not self._tunnel_wanted:
                raise HttpError(400, "One request at a time")
            self._keep_early(data)
            return None
        if self._reader is None:
            plain = parse_plain_request(data)
            if plain is not None:
                return self._complete(*plain)
            self._reader = _Reader()
        request = self._reader.receive(data)
        if request is None:
            return None
        self._last, reader, self._reader = self._reader.is_last, self._reader, None
        return self._complete(request, reader.trailing)

    def respond(self, response: HttpResponse) -> bytes:
        """The bytes of the response to the open request."""
        self.closing = response.close or self._last or self._tunnel_wanted or self._requests >= MAX_REQUESTS
        self.awaiting_answer = False
        if response.rendered and not self.closing and not self._more and self._method != "HEAD":
            return response.rendered
        headers = [*response.headers, ("Content-Length", str(len(response.body)))]
        if self.closing:
            headers.append(("Connection", "close"))
        if self._more:
            headers = add_headers(headers, self._more)
        head = render_head(response.status, response.reason, headers)
        return head if self._method == "HEAD" else head + response.body

    def open_tunnel(self, reason: str, headers: Iterable[tuple[str, str]], lines: str = "") -> tuple[bytes, bytes]:
        """The head of the 200 response to CONNECT, and the bytes that followed the request.

        ``lines`` are headers as ``render_lines`` returns them, which stand before ``headers``.
        """
        self.closing, self.awaiting_answer = True, False
        return render_head(200, reason, headers, lines), self._early

    def refuse(self, error: HttpError) -> bytes:
        """The last response to a peer that broke the rules. Empty if the last response was sent already."""
        if self.closing:
            return b""
        body = f"{error.reason}\n".encode("latin-1", "replace")
        headers = (("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("Connection", "close"))
        return render_head(error.status, error.reason, add_headers(headers, self._more)) + body

    @property
    def _tunnel_wanted(self) -> bool:
        return self._method == "CONNECT"

    def _complete(self, request: HttpRequest, trailing: bytes) -> HttpRequest:
        self._requests += 1
        self._method = request.method
        self.awaiting_answer = True
        if request.method == "CONNECT":
            self._keep_early(trailing)
        elif trailing:
            raise HttpError(400, "One request at a time")
        return request

    def _keep_early(self, data: bytes) -> None:
        if len(self._early) + len(data) > MAX_EARLY:
            raise HttpError(400, "Too much sent before the tunnel")
        self._early += data


def render_lines(headers: Iterable[tuple[str, str]]) -> str:
    """Headers as text, each with its end. Raises ``ValueError`` for a header with a line end or NUL."""
    return _join([f"{name}: {value}" for name, value in headers])


def render_head(status: int, reason: str, headers: Iterable[tuple[str, str]], lines: str = "") -> bytes:
    """Status line, ``lines`` and headers. Raises ``ValueError`` for a text with a line end or NUL."""
    first = _join([f"HTTP/1.1 {status} {reason}"])
    return f"{first}{lines}{render_lines(headers)}\r\n".encode("latin-1", "replace")


def _join(lines: list[str]) -> str:
    text = "\r\n".join(lines) + "\r\n" if lines else ""
    if not text.count("\r") == text.count("\n") == len(lines) or "\0" in text:
        raise ValueError("a header that holds the end of a line")
    return text


def keep_rendered(response: HttpResponse) -> HttpResponse:
    """The response, which is then sent as it is to each client: for one that many get."""
    length = ("Content-Length", str(len(response.body)))
    response.rendered = render_head(response.status, response.reason, (*response.headers, length)) + response.body
    return response


class _Reader:
    """Reads one request with h11, in any number of pieces.

    h11 bounds only a head that is incomplete, and takes a bare LF for a line end and folded headers (RFC 9112 sections
    2.2 and 5.2), which other parsers read differently. So a head is gathered, bounded and checked here first.
    """

    def __init__(self) -> None:
        # The limit is that of trailers and lines of chunks: a head is passed on whole.
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_TRAILER)
        self._head: bytearray | None = bytearray()  # None: it is complete
        self._max_body = MAX_BODY
        self._request: h11.Request | None = None
        self._body = bytearray()
        self._pieces = 0  # each costs the same, whatever its size

    def receive(self, data: bytes) -> HttpRequest | None:
        if self._head is not None:
            whole = self._gather(self._head, data)
            if whole is None:
                return None
            data, self._head = whole, None
        try:
            self._h11.receive_data(data)
            return self._read()
        except h11.RemoteProtocolError as error:
            raise HttpError(error.error_status_hint, _REASONS.get(error.error_status_hint, "Bad Request")) from error

    def _gather(self, head: bytearray, data: bytes) -> bytes | None:
        """The head with what follows it; ``None``: it is incomplete."""
        start = max(0, len(head) - 3)  # the last bytes may be part of an end
        head += data
        end = head.find(b"\r\n\r\n", start)
        bound = len(head) if end < 0 else end + 4
        if bound > MAX_HEAD:
            raise HttpError(431, _REASONS[431])
        if _AMBIGUOUS.search(head, max(0, start - 1), bound):
            raise HttpError(400, "Bad Request")
        if end < 0:
            return None
        whole = bytes(head)
        self._max_body = min(MAX_BODY, MAX_REQUEST - end)
        head[:] = bytes(len(head))  # a password may be in it
        return whole

    @property
    def trailing(self) -> bytes:
        """The bytes that followed the request."""
        return self._h11.trailing_data[0]

    @property
    def is_last(self) -> bool:
        """True if the peer, or its HTTP version, ends the connection with the response."""
        return self._h11.their_state is h11.MUST_CLOSE

    def _read(self) -> HttpRequest | None:
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return None
            if isinstance(event, h11.Request):
                self._begin(event)
            elif isinstance(event, h11.Data):
                self._body += event.data
                self._pieces += 1
                if len(self._body) > self._max_body or self._pieces > MAX_PIECES:
                    raise HttpError(413, "Content Too Large")
            elif isinstance(event, h11.EndOfMessage):
                self._check_trailer(event)
                return self._end()

    def _begin(self, request: h11.Request) -> None:
        self._request = request
        if request.http_version not in (b"1.0", b"1.1"):
            raise HttpError(505, _REASONS[505])
        if len(request.headers) > MAX_HEADERS:
            raise HttpError(431, _REASONS[431])
        length = [int(value) for name, value in request.headers if name == b"content-length"]
        if length and any(name == b"transfer-encoding" for name, _ in request.headers):
            raise HttpError(400, "Two lengths")  # RFC 9112 section 6.3: request smuggling
        if any(size > self._max_body for size in length):
            raise HttpError(413, "Content Too Large")

    @staticmethod
    def _check_trailer(end: h11.EndOfMessage) -> None:
        """Bounds the trailer whatever its pieces were: h11 bounds only one that is incomplete."""
        size = sum(len(name) + len(value) + len(b": \r\n") for name, value in end.headers)
        if size > MAX_TRAILER or len(end.headers) > MAX_HEADERS:
            raise HttpError(431, _REASONS[431])

    def _end(self) -> HttpRequest:
        request = self._request
        if request is None:  # unreachable: h11 ends only a message that it began
            raise HttpError(400, "Bad Request")
        body = bytes(self._body)
        self._body[:] = bytes(len(body))  # a password may be in it
        path, _, query = request.target.decode("latin-1").partition("?")
        return HttpRequest(
            method=request.method.decode("latin-1"),
            path=path,
            query=query,
            headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers),
            body=body,
        )


_AMBIGUOUS = re.compile(rb"(?<!\r)\n|\r\n[ \t]")  # a bare LF, a folded header
_REASONS = {
    400: "Bad Request",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    505: "HTTP Version Not Supported",
}
