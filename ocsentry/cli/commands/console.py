# SPDX-License-Identifier: GPL-3.0-or-later
"""``console``: signs a person in to the console."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from admin_api.roles import Role
from ocsentry.cli.invocation import CommandError, Invocation, command


def add_commands(app: typer.Typer) -> None:
    command(app, "console")(console)


def console(
    cli: Invocation,
    role: Annotated[Role, typer.Option(help="What the person may do.")] = Role.ADMIN,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="The person, whom the audit names. Default: the user of this shell.")
    ] = "",
) -> None:
    """Print a link that signs in to the console in a browser. It is good once, for five minutes."""
    if not cli.server.running():
        raise CommandError("no server runs: start it with ocsentry serve")
    link = cli.api.post("console-links", {"name": name or getpass.getuser(), "role": role.value})
    if not link["url"]:
        raise CommandError("the API has no TCP port for a browser: set admin.listen")
    cli.emit(link, f"{link['url']}\n\nSigns in as {role.value}, once, until {link['expires_at'][11:16]} UTC.")
