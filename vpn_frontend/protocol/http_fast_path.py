# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests as VPN clients write them, read in one go.

A login is three requests, and nearly all arrive whole, in one spelling: each header once on its line, no framing but a
``Content-Length``. What is exactly that is read here for a tenth of what a full HTTP parser costs; all else (pieces,
other spellings, ``Connection``, chunks, every kind of nonsense) is not judged but left to h11. So nothing is read here
that h11 would read in another way or refuse, which a test holds by comparing the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vpn_frontend.protocol.constants import MAX_BODY, MAX_HEAD, MAX_HEADERS


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One whole request. ``path`` is without the query; header names are lower case."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str, default: str = "") -> str:
        """The first header of that (lower case) name."""
        for key, value in self.headers:
            if key == name:
                return value
        return default

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


def parse_plain_request(data: bytes) -> tuple[HttpRequest, bytes] | None:
    """The request that ``data`` is, and what follows it (a CONNECT's only: other requests are all of ``data``).

    ``None``: not plain, or not whole.
    """
    head = _HEAD.match(data, 0, MAX_HEAD)
    if head is None:
        return None
    method, target, fields = head[0][: head.end() - 2].decode("ascii").split(" ", 2)
    lines = fields.split("\r\n")[1:-1]
    headers = tuple([(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)])
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
        return HttpRequest(method, path, query, headers, b""), rest
    return HttpRequest(method, path, query, headers, rest), b""


# Possessive throughout: whatever the bytes, each is looked at once or twice.
_HEAD = re.compile(
    rb"(?:GET|HEAD|POST|CONNECT) [!-~]++ HTTP/1\.1\r\n"
    rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]++: [!-~]++(?: ++[!-~]++)*+\r\n)*+\r\n"
)
_LENGTH = re.compile(r"[0-9]{1,6}", re.ASCII)
_FRAMING = frozenset({"transfer-encoding", "connection", "upgrade", "expect"})  # what changes how a request is read
