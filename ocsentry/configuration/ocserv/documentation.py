# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the table of keys for the operator's page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocsentry.configuration.ocserv.table import ALIASES, ROWS
from ocsentry.configuration.ocserv.target import Outcome

if TYPE_CHECKING:
    from ocsentry.configuration.ocserv.rows import Row

WORDS = {
    Outcome.MAPPED: "mapped",
    Outcome.DIFFERS: "**differs**",
    Outcome.IGNORED: "ignored",
    Outcome.REFUSED: "**refused**",
}


def render_keys() -> str:
    """Returns all keys as one Markdown table, in alphabetical order."""
    lines = ["| key of ocserv | becomes | key here | what differs, why, or what to do |", "|---|---|---|---|"]
    lines += [_line(row) for row in sorted(ROWS, key=lambda row: row.key)]
    return "\n".join(lines)


def _line(row: Row) -> str:
    names = [row.key, *sorted(alias for alias, key in ALIASES.items() if key == row.key)]
    shown = ", ".join(f"`{name}`" for name in names)
    targets = ", ".join(f"`{target}`" for target in row.target.split(", ") if target)
    return f"| {shown} | {WORDS[row.outcome]} | {targets} | {row.note} |"
