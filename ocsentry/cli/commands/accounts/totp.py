# SPDX-License-Identifier: GPL-3.0-or-later
"""``user totp``: one-time passwords of users."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from ocsentry.cli.invocation import Invocation
from ocsentry.cli.nouns import command_group

if TYPE_CHECKING:
    from collections.abc import Mapping

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]


def group() -> typer.Typer:
    return command_group(
        "Manage a user's one-time passwords (TOTP).",
        {
            "enrol": enrol,
            "confirm": confirm,
            "show": show,
            "reset": reset,
        },
    )


def enrol(cli: Invocation, name: NameArgument) -> None:
    """Make a secret for a user and show it once, on a terminal as a QR code too.

    Logins need a code after `user totp confirm`.
    """
    made = cli.api.post(_resource(name))
    cli.emit({key: value for key, value in made.items() if key != "svg"}, _render(name, made))


def confirm(
    cli: Invocation,
    name: NameArgument,
    code: Annotated[str, typer.Argument(metavar="CODE", help="The code that the app shows now.")],
) -> None:
    """Confirm a user's secret by a code of the app, and show the backup codes once."""
    confirmed = cli.api.post(f"{_resource(name)}/confirm", {"code": code})
    codes = "\n".join(f"  {one}" for one in confirmed["codes"])
    cli.emit(confirmed, f"{name} needs a code to log in from now on\nbackup codes, each for one login:\n{codes}")


def show(cli: Invocation, name: NameArgument) -> None:
    """Show the state of a user's one-time passwords: none, pending or active."""
    found = cli.api.get(_resource(name))
    cli.emit(found, f"{name}: {found['state']}, {found['backup_codes']} backup codes left")


def reset(cli: Invocation, name: NameArgument) -> None:
    """Remove a user's secret and backup codes, for a device that is lost."""
    cli.api.delete(_resource(name))
    cli.emit({"name": name}, f"removed the one-time passwords of {name}")


def _resource(name: str) -> str:
    return f"users/{quote(name, safe='')}/totp"


def _render(name: str, made: Mapping[str, str]) -> str:
    import segno

    picture = io.StringIO()
    if sys.stdout.isatty():
        segno.make_qr(made["uri"], error="l").terminal(picture, compact=True)
    return (
        f"{picture.getvalue()}secret  {made['secret']}\nURI     {made['uri']}\n"
        f"scan it, then confirm: ocsentry user totp confirm {name} CODE"
    )
