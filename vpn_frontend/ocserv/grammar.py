# SPDX-License-Identifier: GPL-3.0-or-later
"""The grammar of ocserv's configuration files, as its parser (inih) reads them.

A line is ``key = value`` or ``key: value``. ``#`` or ``;`` begins a comment at the start of a line, ``#`` after a blank
one within it. Blanks and quotation marks are stripped at both ends of a value. ``[vhost:NAME]`` begins a virtual host.

A line that begins with a blank is another value of the key before it. Where that text looks like a key of its own,
ocserv does something else than its operator meant, so it is an error here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILE_BYTES = 1 << 20
MAX_LINE_BYTES = 2047  # inih's buffer; it refuses longer lines
MAX_ERRORS = 20  # of one file
BLANKS = " \t\v\f\r"  # C's isspace within a line
COMMENTS = ("#", ";")
MAX_SHOWN = 40  # characters of a line in an error
BOM = b"\xef\xbb\xbf"
VHOST = "vhost:"
HEADERS = "included-http-headers"
_LOOKS_LIKE_KEY = re.compile(r"[a-z][a-z0-9_-]*\s*=|[a-z0-9_-]*[g-z_-][a-z0-9_-]*\s*:")  # no IPv6 address


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of one key. ``host`` is the name of its virtual host; empty: the server itself."""

    key: str
    value: str
    line: int
    host: str = ""


@dataclass(frozen=True, slots=True)
class Remark:
    """What is wrong with a line, or was read in another way than it looks."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """The entries in the order of the file. With ``errors`` nothing of it should be used."""

    entries: tuple[Entry, ...]
    warnings: tuple[Remark, ...]
    errors: tuple[Remark, ...]


def parse(data: bytes) -> ParsedFile:
    """Parse a whole file. Never raises; ``errors`` has at most ``MAX_ERRORS``."""
    if len(data) > MAX_FILE_BYTES:
        return ParsedFile((), (), (Remark(1, f"the file has more than {MAX_FILE_BYTES} bytes"),))
    parser = _Parser()
    for number, line in enumerate(data.removeprefix(BOM).split(b"\n"), start=1):
        parser.read_line(number, line)
        if len(parser.errors) == MAX_ERRORS:
            break
    return ParsedFile(tuple(parser.entries), tuple(parser.warnings), tuple(parser.errors))


class _Parser:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.warnings: list[Remark] = []
        self.errors: list[Remark] = []
        self._host = ""
        self._skipped = ""  # the name of an unknown section, whose keys are skipped
        self._previous = ""

    def read_line(self, number: int, raw: bytes) -> None:
        problem = _line_problem(raw)
        if problem is not None:
            self.errors.append(Remark(number, problem))
            return
        line = raw.decode().rstrip(BLANKS)
        text = line.lstrip(BLANKS)
        if not text or text.startswith(COMMENTS):
            return
        if self._previous and line[0] in BLANKS:
            self._continue(number, _without_comment(text))
        elif text.startswith("["):
            self._begin_section(number, text)
        else:
            self._read_key(number, text)

    def _continue(self, number: int, text: str) -> None:
        if _LOOKS_LIKE_KEY.match(text) and not self._skipped:
            self.errors.append(
                Remark(number, f"ocserv reads an indented line as another value of {self._previous}: remove the blanks")
            )
            return
        self.warnings.append(Remark(number, f"an indented line is another value of {self._previous}"))
        self._add(number, self._previous, text)

    def _begin_section(self, number: int, text: str) -> None:
        end = text.find("]")
        if end < 0:
            self.errors.append(Remark(number, f"{_shown(text)} has no closing ]"))
            return
        name = text[1:end]
        self._previous = ""
        self._host, self._skipped = "", ""
        if not name.startswith(VHOST):
            self._skipped = name or "(empty)"
            self.warnings.append(Remark(number, f"ocserv knows no section [{_shown(name)}]: its keys are skipped"))
            return
        host = _canonical_host(name.removeprefix(VHOST).strip(BLANKS + '"'))
        if host is None:
            self.errors.append(Remark(number, f"{_shown(name)} names no virtual host"))
            self._skipped = name
            return
        self._host = host

    def _read_key(self, number: int, text: str) -> None:
        at = _separator(text)
        if at is None:
            self.errors.append(Remark(number, f"{_shown(text)} is not KEY = VALUE"))
            return
        self._previous = text[:at].rstrip(BLANKS)
        if not self._previous:
            self.errors.append(Remark(number, f"{_shown(text)} has no key"))
            return
        self._add(number, self._previous, _without_comment(text[at + 1 :]))

    def _add(self, number: int, key: str, value: str) -> None:
        if not self._skipped:
            self.entries.append(Entry(key, _strip(key, value), number, self._host))


def _strip(key: str, value: str) -> str:
    """ocserv keeps the quotation marks of headers, because a header's value may end with one."""
    bare = value.strip(BLANKS)
    return bare if key == HEADERS and not bare.startswith('"') else bare.strip(BLANKS + '"')


def _line_problem(raw: bytes) -> str | None:
    if len(raw) > MAX_LINE_BYTES:
        return f"the line has more than {MAX_LINE_BYTES} bytes"
    if b"\0" in raw:
        return "the line holds a NUL"
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return f"byte {error.start + 1} of the line is not UTF-8"
    return None


def _separator(text: str) -> int | None:
    """Where ``=`` or ``:`` is, before any comment."""
    return next((at for at, sign in _before_comment(text) if sign in "=:"), None)


def _without_comment(text: str) -> str:
    return "".join(sign for _, sign in _before_comment(text))


def _before_comment(text: str) -> Iterator[tuple[int, str]]:
    after_blank = False
    for at, sign in enumerate(text):
        if sign == "#" and after_blank:
            return
        after_blank = sign in BLANKS
        yield at, sign


def _canonical_host(name: str) -> str | None:
    try:
        return name.encode("idna").decode().lower() if name else None
    except UnicodeError:
        return None


def _shown(text: str) -> str:
    cut = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
    return repr(cut)[1:-1]
