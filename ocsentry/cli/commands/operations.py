# SPDX-License-Identifier: GPL-3.0-or-later
"""``operations``: what takes long on the server, with its progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocsentry.cli.completion import complete_operations
from ocsentry.cli.invocation import Invocation
from ocsentry.cli.nouns import given, noun_group
from ocsentry.cli.tables import render_facts

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS = ("id", "kind", "state", "percent", "created_by", "created_at", "error")
STATES = ("running", "done", "failed", "cancelled")
IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The operation's id.", autocompletion=complete_operations)
]


def group() -> typer.Typer:
    text = "List what takes long on the server, such as imports and reloads, and cancel it."
    return noun_group(list_operations, text, show=show, cancel=cancel)


def list_operations(
    cli: Invocation,
    state: Annotated[
        str | None,
        typer.Option(metavar="|".join(STATES), help="Only those in this state.", autocompletion=lambda: STATES),
    ] = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="Only those that do this: blocks_import.")] = None,
) -> None:
    """List the operations of the running server, newest first."""
    rows = list(cli.server.each("operations", **given(state=state, kind=kind)))
    cli.emit_table(rows, COLUMNS, "no operations")


def show(cli: Invocation, operation: IdArgument) -> None:
    """Show how far an operation is, or its result."""
    found = cli.server.get(f"operations/{operation}")
    facts = {**{key: value for key, value in found.items() if key != "result"}, **_result(found)}
    cli.emit(found, render_facts(facts))


def cancel(cli: Invocation, operation: IdArgument) -> None:
    """Cancel an operation. What an import of blocks has read so far stays; anything else changes nothing then."""
    cli.server.delete(f"operations/{operation}")
    cli.emit({"cancelled": operation}, f"cancelled {operation}")


def _result(found: Mapping[str, Any]) -> dict[str, Any]:
    result = found["result"] or {}
    return {f"result.{key}": value for key, value in result.items() if not isinstance(value, list | dict)}
