# SPDX-License-Identifier: GPL-3.0-or-later
"""Nouns of the command line: groups of commands that do something useful alone, and their shared options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocsentry.cli.invocation import ConfigOption, JsonOption, command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would be disconnected.")]
NoteOption = Annotated[str | None, typer.Option(metavar="TEXT", help="A remark.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Even if it refuses your own address, or disconnects more than 20 sessions.")
]


def noun_group(default: Callable[..., None], text: str, **commands: Callable[..., None]) -> typer.Typer:
    """Returns a noun with ``commands``, and ``list`` for ``default``, which also runs when no command is named."""
    app = typer.Typer(help=text, invoke_without_command=True)

    @app.callback()
    def show(context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
        context.obj = context.obj.with_options(config, as_json=as_json)
        if context.invoked_subcommand is None:
            default(context.obj)

    command(app, "list")(default)
    for name, function in commands.items():
        command(app, name)(function)
    return app


def command_group(text: str, commands: Mapping[str, Callable[..., None]]) -> typer.Typer:
    """Returns a noun with ``commands``, which shows its help when none is named."""
    app = typer.Typer(help=text, no_args_is_help=True)
    for name, function in commands.items():
        command(app, name)(function)
    return app


def given(**query: Any) -> dict[str, Any]:  # noqa: ANN401 - values of a query
    """Returns the options that differ from their default: a server of an earlier version knows the others not."""
    return {name: value for name, value in query.items() if value not in (None, False, "")}
