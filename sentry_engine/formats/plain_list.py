# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain lists of addresses and prefixes, as block lists are published: one per line.

``#``, ``;`` and ``//`` begin a comment. Text after the first word is ignored (Spamhaus, FireHOL, ipsum). Host bits are
cleared, unlike in rules: programs write lists, and mean the network. A file with more than one malformed line in twenty
is not a list (an error page, a login form) and is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sentry_engine.addresses import AddressError, mask, split_network
from sentry_engine.errors import MAX_PROBLEMS, PolicyError, Problem
from sentry_engine.prefixes import Prefixes

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 256 * 1024 * 1024  # of one list
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_LINE = 1_000  # characters
LINE = re.compile(rb"[^\r\n]+")
PLAIN = re.compile(r"[0-9A-Fa-f.:]+(?:/[0-9]+)?")  # a line of one word, the common case
MAX_ENTRIES = 10_000_000
TOLERATED_SHARE = 0.05  # of malformed lines, which are skipped


def parse_list(data: bytes, *, file: str) -> Prefixes:
    """The distinct prefixes of a list in its order. Raises ``PolicyError`` if it is not a list."""
    if len(data) > MAX_BYTES:
        raise PolicyError([Problem(file, "", f"the list has {len(data)} bytes, more than the {MAX_BYTES} allowed")])
    rows: dict[tuple[bytes, int], None] = {}
    problems: list[Problem] = []
    bad = lines = 0
    tolerated = (data.count(b"\n") + data.count(b"\r") + 1) * TOLERATED_SHARE  # of the most lines there can be
    data = data.removeprefix(BYTE_ORDER_MARK)
    for start, line in _lines_with_text(data):
        word = first_word(line)
        if not word:
            continue
        lines += 1
        if len(rows) > MAX_ENTRIES or bad > tolerated:
            break
        try:
            packed, length = split_network(word)
            rows[mask(packed, length) if length < 128 else packed, length] = None
        except AddressError as error:
            bad += 1
            if len(problems) < MAX_PROBLEMS:
                problems.append(Problem(file, f"line {_number_of_line(data, start)}", str(error)))
    if bad > lines * TOLERATED_SHARE:
        raise PolicyError(problems)
    if len(rows) > MAX_ENTRIES:
        raise PolicyError([Problem(file, "", f"the list has more than the {MAX_ENTRIES} entries allowed")])
    return Prefixes(b"".join(packed for packed, _ in rows), bytes(length for _, length in rows))


def _lines_with_text(data: bytes) -> Iterator[tuple[int, str]]:
    """Yields the lines that are not empty, one at a time, with the place of their first byte."""
    for found in LINE.finditer(data):
        start = found.start()
        yield start, data[start : min(found.end(), start + MAX_LINE + 1)].decode("ascii", "replace")


def _number_of_line(data: bytes, start: int) -> int:
    return 1 + data.count(b"\n", 0, start) + data.count(b"\r", 0, start) - data.count(b"\r\n", 0, start)


def first_word(line: str) -> str:
    """The prefix of a line; empty for a comment or blank line."""
    if len(line) > MAX_LINE:
        return "(a line too long)"
    if PLAIN.fullmatch(line):
        return line
    text = line.replace("\t", " ").strip()
    if not text or text[0] in "#;" or text.startswith("//"):
        return ""
    return text.replace(",", " ").replace(";", " ").split(" ", 1)[0]
