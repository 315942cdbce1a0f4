# SPDX-License-Identifier: GPL-3.0-or-later
"""``network``: what this host does with packets of clients, beside the server."""

from __future__ import annotations

from typing import Annotated

import typer

from ocsentry.cli.invocation import Invocation, command


def group() -> typer.Typer:
    app = typer.Typer(help="Set up how this host forwards packets of clients.", no_args_is_help=True)
    command(app, "up")(up)
    command(app, "down")(down)
    command(app, "show")(show)
    return app


def up(
    cli: Invocation,
    rewrite: Annotated[
        bool, typer.Option("--rewrite", help="Write network.nft again, for other pools; edits in it are lost.")
    ] = False,
) -> None:
    """Forward packets of clients, translate their addresses and keep other hosts from them, now and after a restart.

    The packet rules are in network.nft beside the configuration. The file is written if it is missing; edit it freely.
    """
    from ocsentry.setup import host_network

    file = host_network.load_rules(cli.config, rewrite=rewrite)
    host_network.forward(cli.config)
    document = {"rules": str(file), "sysctl": str(host_network.SYSCTL_FILE)}
    cli.emit(document, f"in force: {file}, {host_network.SYSCTL_FILE}")


def down(cli: Invocation) -> None:
    """Remove the packet rules. Forwarding stays as it is: other programs may need it."""
    from ocsentry.setup import host_network

    host_network.remove_rules()
    cli.emit({"removed": host_network.TABLE}, f"removed the table inet {host_network.TABLE}")


def show(cli: Invocation) -> None:
    """Print the packet rules and the settings that `up` puts in force, without changing anything."""
    from ocsentry.setup import host_network

    file = host_network.rules_file(cli.config)
    rules = file.read_text() if file.exists() else host_network.render_rules(cli.config)
    forwarding = host_network.render_forwarding(cli.config)
    cli.emit({"rules": rules, "sysctl": forwarding}, f"{rules}\n{forwarding}".rstrip())
