# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of imported and exported blocks: plain text, CSV or NDJSON. No I/O.

Text has a network per line; what follows ``#`` is a comment. CSV has the columns cidr, reason, ttl; a first line with
these names is skipped. NDJSON has an object per line, as the body of ``POST /blocks``.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

from pydantic import ValidationError

from admin_api.blocks.line_formats import LineFormat
from admin_api.blocks.schemas import BlockCreate
from admin_api.http.values import parse_network
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from admin_api.enforcement.blocks.table import BlockEntry
    from vpn_frontend.settings import Network

MAX_LINE = 4096  # bytes
COLUMNS = ["cidr", "reason", "ttl"]


@dataclass(frozen=True, slots=True)
class BlockLine:
    """One block to import. ``ttl`` and ``reason`` are ``None`` if the line does not state them."""

    number: int
    network: Network
    reason: str | None = None
    ttl: float | None = None


@dataclass(frozen=True, slots=True)
class BadLine:
    number: int
    detail: str


class LineReader:
    """Cuts chunks into lines and reads each. Keeps at most ``MAX_LINE`` bytes between two chunks."""

    def __init__(self, form: LineFormat) -> None:
        self._parse = {LineFormat.TEXT: _read_text, LineFormat.CSV: _read_csv, LineFormat.NDJSON: _read_json}[form]
        self._rest = b""
        self._number = 0
        self._too_long = False

    def feed(self, chunk: bytes) -> Iterator[BlockLine | BadLine]:
        """Yields the lines that ``chunk`` completes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            yield from self._line(line)
        if len(self._rest) > MAX_LINE:
            self._rest, self._too_long = self._rest[:MAX_LINE], True

    def end(self) -> Iterator[BlockLine | BadLine]:
        """Yields the last line, if it has no end."""
        rest, self._rest = self._rest, b""
        if rest or self._too_long:
            yield from self._line(rest)

    def _line(self, line: bytes) -> Iterator[BlockLine | BadLine]:
        self._number += 1
        too_long, self._too_long = self._too_long or len(line) > MAX_LINE, False
        if too_long:
            yield BadLine(self._number, f"the line is longer than {MAX_LINE} bytes")
            return
        try:
            read = self._parse(line.decode().strip("\ufeff \t\r"), self._number)
        except (ValueError, csv.Error) as error:
            yield BadLine(self._number, _text_of(error))
            return
        if read is not None:
            yield read


def _read_text(text: str, number: int) -> BlockLine | None:
    text = text.partition("#")[0].strip()
    return BlockLine(number, parse_network(text)) if text else None


def _read_csv(text: str, number: int) -> BlockLine | None:
    if not text:
        return None
    cells = next(csv.reader([text], strict=True))
    if number == 1 and [cell.strip().lower() for cell in cells[:1]] == COLUMNS[:1]:
        return None
    if len(cells) > len(COLUMNS):
        raise ValueError("a line has at most the columns cidr, reason and ttl")
    values = {name: cell for name, cell in zip(COLUMNS, cells, strict=False) if cell.strip()}
    return _read_document({**values, "ttl": float(values["ttl"])} if "ttl" in values else values, number)


def _read_json(text: str, number: int) -> BlockLine | None:
    return _read_document(json.loads(text), number) if text else None


def _read_document(document: object, number: int) -> BlockLine:
    body = BlockCreate.model_validate(document)
    stated = body.model_fields_set
    return BlockLine(
        number, body.cidr, body.reason if "reason" in stated else None, body.ttl if "ttl" in stated else None
    )


def _text_of(error: ValueError | csv.Error) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "the line is not UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return "the line is not JSON"
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        place = "/".join(map(str, first["loc"]))
        return f"{place}: {first['msg'].removeprefix('Value error, ')}" if place else first["msg"]
    return str(error)


def renderer_of(form: LineFormat, now: Callable[[], datetime]) -> Callable[[BlockEntry], str]:
    """Returns what renders one block as a line that ``LineReader`` reads; ``ttl`` counts from ``now``."""

    def left(entry: BlockEntry) -> float | None:
        return None if entry.expires_at is None else max(1.0, round((entry.expires_at - now()).total_seconds(), 3))

    def render_csv(entry: BlockEntry) -> str:
        line = io.StringIO()
        ttl = left(entry)
        csv.writer(line, lineterminator="\n").writerow([entry.cidr, entry.reason, "" if ttl is None else ttl])
        return line.getvalue()

    def render_json(entry: BlockEntry) -> str:
        document = {"cidr": entry.cidr, "reason": entry.reason, "ttl": left(entry)}
        return json.dumps(document, ensure_ascii=False) + "\n"

    renderers = {LineFormat.CSV: render_csv, LineFormat.NDJSON: render_json}
    return renderers.get(form, lambda entry: f"{entry.cidr}\n")
