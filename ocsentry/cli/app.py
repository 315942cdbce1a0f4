# SPDX-License-Identifier: GPL-3.0-or-later
"""The Typer application with all groups of commands, and the program's entry point."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

import typer

from ocsentry.cli import blocks, rules, service, sessions, tokens, users
from ocsentry.cli.invocation import ConfigOption, Invocation, JsonOption, run

if TYPE_CHECKING:
    from collections.abc import Sequence


def build_app() -> typer.Typer:
    """Returns the Typer application with every command."""
    app = typer.Typer(name="ocsentry", rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(_root)
    service.add_commands(app)
    blocks.add_commands(app)
    app.add_typer(rules.group(), name="rules")
    app.add_typer(sessions.group(), name="sessions")
    app.add_typer(users.group(), name="user")
    app.add_typer(tokens.group(), name="token")
    return app


def _root(
    context: typer.Context,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version.", is_eager=True)] = False,
) -> None:
    """A VPN server for OpenConnect and AnyConnect clients, with a policy engine that decides who may connect."""
    if show_version:
        typer.echo(f"ocsentry {version('ocsentry')}")
        raise typer.Exit
    context.obj = Invocation(config, as_json)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with ``arguments`` (default: the process arguments) and exit."""
    os.umask(os.umask(0o077) | 0o027)  # files that a command creates are not readable by others
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(build_app(), given or ["--help"]))
