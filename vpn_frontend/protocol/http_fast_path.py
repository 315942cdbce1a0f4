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
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    if end < 0:
        return None
    whole = data[:end]
    known = _heads.get(whole)
    if known is not None:
        body = data[end + 4 :]
        path, own, given, size = known
        return (HttpRequest("POST", path, "", own, body, given), b"") if len(body) == size else None
    first, *lines = whole.split(b"\r\n")
    begin = _BEGIN.fullmatch(first)
    if begin is None or len(lines) > MAX_HEADERS:
        return None
    headers: list[tuple[str, str]] = []
    for line in lines:
        header = _known.get(line) or _read_header(line)
        if header is None:
            return None
        headers.append(header)
    given = dict(headers)
    if len(given) != len(headers) or "host" not in given or not _FRAMING.isdisjoint(given):
        return None
    length = given.get("content-length", "")
    rest = data[end + 4 :]
    method, target = begin[1].decode("ascii"), begin[2].decode("ascii")
    if method == "POST":
        if not _LENGTH.fullmatch(length) or int(length) != len(rest) or len(rest) > MAX_BODY:
            return None
    elif length or (rest and method != "CONNECT"):
        return None
    path, _, query = target.partition("?")
    if method == "CONNECT":
        return HttpRequest(method, path, query, tuple(headers), b"", given), rest
    if method == "POST" and "?" not in target and len(whole) <= MAX_KNOWN_HEAD and given.keys() <= _KEPT:
        if len(_heads) >= MAX_KNOWN_HEADS:
            _heads.clear()
        _heads[whole] = path, tuple(headers), given, len(rest)
    return HttpRequest(method, path, query, tuple(headers), rest, given), b""


def _read_header(line: bytes) -> tuple[str, str] | None:
    """Name in lower case and value. ``None``: another spelling. Lines that many clients send are kept read."""
    if _HEADER.fullmatch(line) is None:
        return None
    name, _, value = line.decode("ascii").partition(": ")
    header = name.lower(), value
    if header[0] in _COMMON and len(line) <= MAX_KNOWN:
        if len(_known) >= MAX_KNOWN_LINES:
            _known.clear()
        _known[line] = header
    return header


MAX_KNOWN_LINES = 512  # that are kept read; with MAX_KNOWN some 150 KB, of which a peer chooses all
MAX_KNOWN = 128  # bytes of such a line
_known: dict[bytes, tuple[str, str]] = {}
# Whole heads of POSTs are kept too, by their bytes: path, headers, and the bytes of the body that the head tells.
MAX_KNOWN_HEADS = 256
MAX_KNOWN_HEAD = 1024  # bytes of such a head; with what it is read as, some 1 MB for all of them
_heads: dict[bytes, tuple[str, tuple[tuple[str, str], ...], dict[str, str], int]] = {}
# Headers that tell of the kind of client. Those of one client or user, which may be secrets, are never kept.
_COMMON = frozenset(
    {
        "accept",
        "accept-encoding",
        "content-type",
        "host",
        "user-agent",
        "x-aggregate-auth",
        "x-anyconnect-platform",
        "x-cstp-accept-encoding",
        "x-cstp-address-type",
        "x-cstp-base-mtu",
        "x-cstp-full-ipv6-capability",
        "x-cstp-mtu",
        "x-cstp-protocol",
        "x-cstp-version",
        "x-dtls-accept-encoding",
        "x-dtls-ciphersuite",
        "x-dtls12-ciphersuite",
        "x-dtls13-ciphersuite",
        "x-support-http-auth",
        "x-transcend-version",
    }
)
_KEPT = _COMMON | {"content-length"}
# Possessive quantifiers: a line has one way to match, so every byte is read at most twice.
_BEGIN = re.compile(rb"(GET|HEAD|POST|CONNECT) ([!-~]++) HTTP/1\.1")
_HEADER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++: [!-~][ -~]*+(?<! )")
_LENGTH = re.compile(r"[0-9]{1,6}", re.ASCII)
_FRAMING = frozenset({"transfer-encoding", "connection", "upgrade", "expect"})  # change how a request is framed
