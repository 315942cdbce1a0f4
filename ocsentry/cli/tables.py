# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables: fitted to the terminal and coloured there; plain, with every cell whole, when the output is piped."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

# Texts of clients and rules could move the cursor, or reverse what stands beside them.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
REPLACEMENT = "\ufffd"
ABSENT = "-"
NARROW = frozenset({"id", "rule", "digest"})  # columns that are shortened instead of wrapped
STYLES = {
    "accept": "green",
    "connected": "green",
    "ok": "green",
    "yes": "green",
    "reject": "red",
    "no": "red",
    "fail": "red",
    "rate_limited": "yellow",
    "roaming": "yellow",
    "warn": "yellow",
    ABSENT: "dim",
}


def on_terminal() -> bool:
    return sys.stdout.isatty()


def clean(text: str) -> str:
    """Returns ``text`` in one line, with a mark in the place of each control and direction character."""
    return UNSAFE.sub(REPLACEMENT, text)


def show_cell(value: object) -> str:
    if value is None or value == "":
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return clean(",".join(map(str, value))) or ABSENT
    return clean(str(value))


def render_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Returns the table as text, each column as wide as its widest cell."""
    cells = [[_heading(column) for column in columns]]
    cells += [[show_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def render_facts(facts: Mapping[str, Any]) -> str:
    """Returns one line for each name and its value; the values stand below each other."""
    width = max(map(len, facts))
    return "\n".join(f"{name:<{width}}  {show_cell(value)}" for name, value in facts.items())


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print the table, fitted to the terminal if there is one."""
    if not on_terminal():
        typer.echo(render_table(rows, columns))
        return
    from rich.console import Console

    Console().print(fit_table(rows, columns))


def fit_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    """Returns the table for rich, which wraps and shortens cells to the terminal's width."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        narrow = column in NARROW
        table.add_column(_heading(column), no_wrap=narrow, overflow="ellipsis" if narrow else "fold")
    for row in rows:
        texts = [show_cell(row.get(column)) for column in columns]
        table.add_row(*(Text(text, style=STYLES.get(text, "")) for text in texts))
    return table


def _heading(column: str) -> str:
    return column.upper().replace("_", " ")
