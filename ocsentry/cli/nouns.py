# SPDX-License-Identifier: GPL-3.0-or-later
"""Nouns of the command line: groups of commands that do something useful alone, and their shared options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocsentry.cli.invocation import CommandError, command, with_options_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would be disconnected.")]
NoteOption = Annotated[str | None, typer.Option(metavar="TEXT", help="A remark.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Even if it refuses your own address, or disconnects more than 20 sessions.")
]


def noun_group(
    default: Callable[..., None],
    text: str,
    others: Mapping[str, Callable[..., None]] | None = None,
    /,
    **commands: Callable[..., None],
) -> typer.Typer:
    """Returns a noun with commands, and ``list`` for ``default``, which also runs when no command is named.

    The noun alone takes the options of its ``list``. Before another command they are refused: they would do nothing.
    """
    app = typer.Typer(help=text, invoke_without_command=True)

    def carry_out(context: typer.Context, arguments: dict[str, Any]) -> None:
        named = context.invoked_subcommand
        if named is None:
            default(context.obj, **arguments)
        elif misplaced := [name for name in arguments if _was_given(context, name)]:
            option = f"--{misplaced[0].replace('_', '-')}"
            raise CommandError(f"{option} stands before {named!r}: write options after the command", exit_code=2)

    app.callback()(with_options_of(default, carry_out))
    command(app, "list")(default)
    for name, function in ({**(others or {}), **commands}).items():
        command(app, name)(function)
    return app


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def command_group(text: str, commands: Mapping[str, Callable[..., None]]) -> typer.Typer:
    """Returns a noun with ``commands``, which shows its help when none is named."""
    app = typer.Typer(help=text, no_args_is_help=True)
    for name, function in commands.items():
        command(app, name)(function)
    return app


def given(**query: Any) -> dict[str, Any]:  # noqa: ANN401 - values of a query
    """Returns the options that differ from their default: a server of an earlier version knows the others not."""
    return {name: value for name, value in query.items() if value not in (None, False, "")}
