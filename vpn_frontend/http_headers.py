# SPDX-License-Identifier: GPL-3.0-or-later
"""Headers that the operator adds: to all answers before the tunnel, and to the answer to CONNECT."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_HEADERS = 32
MAX_HEADER = 512  # characters of one line
# A tchar of RFC 9110 section 5.6.2; visible characters and blanks of its section 5.5, without those outside ASCII.
_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)[ \t]*")
# What frames a message or carries the server's own state. A second one would be read instead of the server's.
RESERVED = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "keep-alive",
        "location",
        "proxy-connection",
        "retry-after",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
        "x-aggregate-auth",
        "x-reason",
    }
)
CACHE_CONTROL = "cache-control"
USER, GROUP = "%{U}", "%{G}"  # replaced by the names of the session's user and group, as in ocserv


@dataclass(frozen=True, slots=True)
class Header:
    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"


def parse_header(text: str) -> Header:
    """Read ``Name: value``. Raises ``ValueError`` with a text for the operator."""
    found = _LINE.fullmatch(text)
    if found is None or len(text) > MAX_HEADER:
        raise ValueError(f"{text[:64]!r} is not Name: value, in at most {MAX_HEADER} ASCII characters")
    if found[1].lower() in RESERVED:
        raise ValueError(f"the server itself sets {found[1]}")
    return Header(found[1], found[2])


def add_headers(own: Iterable[tuple[str, str]], more: tuple[Header, ...]) -> list[tuple[str, str]]:
    """``own``, and behind them those of ``more`` whose names they do not have.

    A Cache-Control of ``more`` that stores nothing either goes before the server's: it may say more.
    """
    stricter = any(header.name.lower() == CACHE_CONTROL and "no-store" in header.value for header in more)
    headers = [header for header in own if not (stricter and header[0].lower() == CACHE_CONTROL)]
    names = {name.lower() for name, _ in headers}
    headers += [(header.name, header.value) for header in more if header.name.lower() not in names]
    return headers


def name_session(text: str, user: str, group: str) -> str:
    """``text`` with the names of user and group, percent-encoded: they may hold what ends a header or a URL's part."""
    if USER not in text and GROUP not in text:
        return text
    names = {USER: quote(user, safe="@"), GROUP: quote(group, safe="@")}
    return re.sub(r"%\{[UG]\}", lambda found: names[found[0]], text)  # at once: a name may hold the other's mark
