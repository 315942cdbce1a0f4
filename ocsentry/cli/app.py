# SPDX-License-Identifier: GPL-3.0-or-later
"""The Typer application with all groups of commands, and the program's entry point."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocsentry.cli.commands import (
    archive,
    block_lists,
    blocks,
    certificates,
    console,
    database,
    demo,
    feeds,
    imports,
    network,
    nodes,
    ocserv_tools,
    operations,
    service,
    sessions,
    settings,
    webhooks,
)
from ocsentry.cli.commands.accounts import groups, tokens, users
from ocsentry.cli.commands.activity import address, history, stats, top
from ocsentry.cli.commands.policy import rules
from ocsentry.cli.invocation import ConfigOption, Invocation, JsonOption, command, run

if TYPE_CHECKING:
    from collections.abc import Sequence


def build_app() -> typer.Typer:
    """Returns the Typer application with every command."""
    app = typer.Typer(
        name="ocsentry",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},  # of every command below it, too
    )
    app.callback(no_args_is_help=True)(_root)
    service.add_commands(app)
    top.add_commands(app)
    stats.add_commands(app)
    history.add_commands(app)
    address.add_commands(app)
    blocks.add_commands(app)
    archive.add_commands(app)
    command(app, "explain")(rules.explain)
    app.add_typer(block_lists.group(), name="blocks")
    _add_group(app, feeds.group(), "feeds", "feed")
    _add_group(app, nodes.group(), "nodes", "node")
    console.add_commands(app)
    demo.add_commands(app)
    app.add_typer(database.group(), name="db")
    _add_group(app, rules.group(), "rules", "rule")
    _add_group(app, sessions.group(), "sessions", "session")
    _add_group(app, users.group(), "user", "users")
    _add_group(app, groups.group(), "group", "groups")
    _add_group(app, tokens.group(), "token", "tokens")
    _add_group(app, webhooks.group(), "webhook", "webhooks")
    _add_group(app, operations.group(), "operations", "operation")
    _add_group(app, settings.group(), "settings", "setting")
    app.add_typer(imports.group(), name="import")
    app.add_typer(network.group(), name="network")
    _add_group(app, certificates.group(), "cert", "certs")
    ocserv_tools.add_commands(app)
    return app


def _add_group(app: typer.Typer, group: typer.Typer, name: str, alias: str) -> None:
    """Adds the commands of one noun. ``alias`` is its other number, which the help does not list."""
    app.add_typer(group, name=name)
    app.add_typer(group, name=alias, hidden=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ocsentry {version('ocsentry')}")
        raise typer.Exit


def _root(
    context: typer.Context,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    show_version: Annotated[  # noqa: ARG001 - its callback has answered and left
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """A VPN server for OpenConnect and AnyConnect clients, with a policy engine that decides who may connect."""
    context.obj = Invocation(config, as_json)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with ``arguments`` (default: the process arguments) and exit."""
    os.umask(os.umask(0o077) | 0o027)  # files that a command creates are not readable by others
    given = list(sys.argv[1:] if arguments is None else arguments)
    invoked_as = Path(sys.argv[0]).name
    if arguments is None and invoked_as in ocserv_tools.TOOLS:
        given = [invoked_as, *given]
    sys.exit(run(build_app(), given or ["--help"]))
