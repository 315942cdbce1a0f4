# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads HTTP requests in the spelling that VPN clients use, faster than a full parser.

A login is three requests, and nearly all arrive in one piece: each header once on its line, no framing but a
``Content-Length``. Such a request is read here for a tenth of what h11 costs. Every other input (pieces, other
spellings, ``Connection``, chunks, malformed requests) is left to h11. A request that is read here must have the same
meaning to h11; a test compares the two.
"""

from __future__ import annotations

import re
from dataclasses import field

from sentry_engine.records import dataclass
from vpn_frontend.protocol.constants import MAX_BODY, MAX_HEAD, MAX_HEADERS


@dataclass(slots=True)  # not frozen: one is made per request, and frozen fields are slow to set
class HttpRequest:
    """One whole request. ``path`` is without the query; header names are lower case."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    first: dict[str, str] = field(default_factory=dict, compare=False, repr=False)  # the first value of each header

    def __post_init__(self) -> None:
        if not self.first:
            self.first.update(reversed(self.headers))

    def header(self, name: str, default: str = "") -> str:
        """The value of the first header with that lower case name."""
        return self.first.get(name, default)

    def cookie(self, name: str) -> str:
        """The value of the first cookie of that name; empty: there is none. Bounded by the size of a header."""
        if "cookie" not in self.first:
            return ""
        for key, value in self.headers:
            if key != "cookie":
                continue
            for pair in value.split(";"):
                cookie, _, content = pair.strip().partition("=")
                if cookie == name:
                    return content.strip().strip('"')
        return ""


def parse_plain_request(data: bytes) -> tuple[HttpRequest, bytes] | None:
    """The request in ``data``, and the bytes that follow a CONNECT. Other requests are the whole of ``data``.

    ``None``: another spelling, or incomplete.
    """
    head = _HEAD.match(data, 0, MAX_HEAD)
    if head is None:
        return None
    method, target, fields = head[0][: head.end() - 2].decode("ascii").split(" ", 2)
    lines = fields.split("\r\n")[1:-1]
    headers = tuple([(name.lower(), value) for name, _, value in [line.partition(": ") for line in lines]])
    given = dict(headers)
    if (
        len(headers) > MAX_HEADERS
        or len(given) != len(headers)
        or "host" not in given
        or not _FRAMING.isdisjoint(given)
    ):
        return None
    length = given.get("content-length", "")
    rest = data[head.end() :]
    if method == "POST":
        if not _LENGTH.fullmatch(length) or int(length) != len(rest) or len(rest) > MAX_BODY:
            return None
    elif length or (rest and method != "CONNECT"):
        return None
    path, _, query = target.partition("?")
    if method == "CONNECT":
        return HttpRequest(method, path, query, headers, b"", given), rest
    return HttpRequest(method, path, query, headers, rest, given), b""


# Possessive quantifiers of single bytes: a line has one way to match, so every byte is read at most twice. Groups have
# none: Python 3.11.2 (Debian 12) does not go back to where a failed repetition of one began.
_HEAD = re.compile(
    rb"(?:GET|HEAD|POST|CONNECT) [!-~]++ HTTP/1\.1\r\n"
    rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]++: [!-~][ -~]*+(?<! )\r\n)*\r\n"
)
_LENGTH = re.compile(r"[0-9]{1,6}", re.ASCII)
_FRAMING = frozenset({"transfer-encoding", "connection", "upgrade", "expect"})  # change how a request is framed
