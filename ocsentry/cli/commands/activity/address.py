# SPDX-License-Identifier: GPL-3.0-or-later
"""``address``: all that the running server knows of one address, in one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from ocsentry.cli.commands.activity.history import (
    DECISION_COLUMNS,
    PENALTY_COLUMNS,
    as_address,
    decision_rows,
)
from ocsentry.cli.commands.block_lists import BLOCK_COLUMNS
from ocsentry.cli.commands.policy.rules import render_explanation
from ocsentry.cli.commands.sessions import COLUMNS as SESSION_COLUMNS
from ocsentry.cli.commands.sessions import HISTORY_COLUMNS, show_traffic
from ocsentry.cli.invocation import Invocation, command
from ocsentry.cli.tables import print_table, render_facts

if TYPE_CHECKING:
    from collections.abc import Iterator


def add_commands(app: typer.Typer) -> None:
    command(app, "address")(address)


def address(
    cli: Invocation,
    source: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="An IPv4 or IPv6 address, outside or inside the tunnel.")
    ],
) -> None:
    """Show all about an address: verdict, place, penalty, blocks, sessions and the latest verdicts."""
    path = f"addresses/{quote(str(as_address(source)), safe=':')}"
    answer = cli.server.get(path)
    cli.emit(answer, render_explanation(answer["explanation"]))
    if cli.as_json:
        return
    if place := {name: value for name, value in answer["place"].items() if value not in (None, "", [])}:
        typer.echo(f"\nplace\n{render_facts(place)}")
    for title, rows, columns in tables_of(answer):
        if rows:
            typer.echo(f"\n{title}")
            print_table(rows, columns)


def tables_of(answer: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]], tuple[str, ...]]]:
    """Yields title, rows and columns of each part of an answer of ``/addresses``. Rows may be none."""
    yield "penalty", [answer["penalty"]] if answer["penalty"] else [], PENALTY_COLUMNS
    yield "blocks", answer["blocks"], BLOCK_COLUMNS
    yield "live sessions", show_traffic(answer["sessions"]), SESSION_COLUMNS
    yield "latest sessions", show_traffic(answer["history"]), HISTORY_COLUMNS
    yield "latest verdicts", decision_rows(answer["decisions"]), DECISION_COLUMNS
