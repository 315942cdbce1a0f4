# SPDX-License-Identifier: GPL-3.0-or-later
"""What occtl prints of one thing, as JSON and as text. Pure.

A block is a list of rows. A row has values under names: one, or two that share a line of the text. An empty value is
left out of both forms.
"""

from __future__ import annotations

import json
from dataclasses import field
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Value = str | int | list[str]


@dataclass(frozen=True, slots=True)
class Row:
    """``values`` by their names. ``text`` replaces them in the text form; ``None``: the names and values themselves."""

    values: dict[str, Value]
    text: str | None = None


@dataclass(slots=True)
class Block:
    rows: list[Row] = field(default_factory=list)

    def add(self, *, text: str | None = None, **values: Value) -> None:
        """``add`` for names that are identifiers."""
        self.put(values, text)

    def put(self, values: dict[str, Value], text: str | None = None) -> None:
        self.rows.append(Row(values, text))

    def put_moment(self, name: str, moment: str, relative: str, **more: Value) -> None:
        """A time, its relative form under ``_name``, and what only JSON has."""
        self.put({name: moment, f"_{name}": relative, **more}, f"{name}: {moment} ({relative})")

    def hide(self, **values: Value) -> None:
        """Values that only JSON has."""
        self.rows.append(Row(dict(values), ""))

    def document(self) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for row in self.rows:
            found |= {name: value for name, value in row.values.items() if value != ""}
        return found


def render_json(block: Block) -> str:
    lines = ",\n".join(f"    {_quoted(name)}:  {_json_value(value)}" for name, value in block.document().items())
    return f"  {{\n{lines}\n  }}"


def render_json_list(blocks: Iterable[Block]) -> str:
    """An array of blocks, with the last line end."""
    inner = ",\n".join(map(render_json, blocks))
    return f"[\n{inner}\n]\n" if inner else "[\n]\n"


def render_text(block: Block) -> str:
    """Lines that begin with a tab."""
    lines = [line for row in block.rows if (line := _text_of(row)) is not None]
    return "\n".join(lines)


def _text_of(row: Row) -> str | None:
    if row.text is not None:
        return f"\t{row.text}" if row.text else None
    shown = [_text_value(name, value) for name, value in row.values.items() if value not in ("", [])]
    return "\t" + "   ".join(shown) if shown else None


def _text_value(name: str, value: Value) -> str:
    if isinstance(value, list):
        return f"{name}: " + "\n\t\t".join(map(printable, value))
    return f"{name}: {printable(str(value))}"


def _json_value(value: Value) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_quoted, value)) + "]"
    return str(value) if isinstance(value, int) else _quoted(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def printable(text: str) -> str:
    """``text`` without control characters: names and agents come from clients, and go to a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def render_table(columns: Sequence[tuple[str, int]], rows: Iterable[Sequence[object]]) -> str:
    """Right-aligned columns of least widths, the header only above some rows."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    if not cells:
        return ""
    lines = [[name for name, _ in columns], *cells]
    widths = [width for _, width in columns]
    return "".join(
        " ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) + "\n" for line in lines
    )
