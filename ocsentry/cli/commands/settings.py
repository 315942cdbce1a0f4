# SPDX-License-Identifier: GPL-3.0-or-later
"""``settings``: what the server runs with, and changes of it without a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocsentry.cli.invocation import CommandError, Invocation
from ocsentry.cli.nouns import command_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COLUMNS = ("key", "value", "origin", "live", "file_value")
SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be in force.")]


def group() -> typer.Typer:
    return command_group(
        "Show and change what the running server is set to.",
        {
            "show": show,
            "set": change,
            "unset": unset,
        },
    )


def show(
    cli: Invocation,
    prefix: Annotated[str, typer.Argument(metavar="[PREFIX]", help="Keys that begin with this.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Show defaults too.")] = False,
) -> None:
    """Show settings and where each comes from."""
    found = cli.server.get("settings", prefix=prefix)
    wanted = [
        {"key": key, **entry}
        for key, entry in sorted(found["settings"].items())
        if everything or prefix or entry["origin"] != "default"
    ]
    cli.emit_table(wanted, COLUMNS, "every setting has its default: see `ocsentry settings show --all`")


def change(
    cli: Invocation,
    settings: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE...", help="Settings. Lists are separated by commas.")
    ],
    dry_run: DryRunOption = False,
) -> None:
    """Override settings of the configuration's file. They are in force at once, and stay through restarts."""
    present = cli.server.get("settings")["settings"]
    _send(cli, dict(_read(text, present) for text in settings), dry_run=dry_run)


def unset(
    cli: Invocation,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Settings.")],
    dry_run: DryRunOption = False,
) -> None:
    """Remove overrides, so that the values of the configuration's file are in force again."""
    _send(cli, dict.fromkeys(keys), dry_run=dry_run)


def _send(cli: Invocation, changes: Mapping[str, Any], *, dry_run: bool) -> None:
    changed = cli.server.patch("settings", changes, dry_run=dry_run or None)
    keys = _join(changed["in_force"])
    cut = f"; sessions ended: {changed['sessions_cut']}" if changed["sessions_cut"] else ""
    done = "would be in force" if dry_run else "in force"
    cli.emit(changed, f"{done}: {keys}{cut}" if keys else "nothing changes")


def _read(text: str, present: Mapping[str, Any]) -> tuple[str, Any]:
    """Returns key and value, read as the kind of value that the key has now. Raises ``CommandError``."""
    key, separator, value = text.partition("=")
    if not separator:
        raise CommandError(f"{text!r} is not KEY=VALUE")
    if key not in present:
        raise CommandError(f"{key!r} is no setting: see `ocsentry settings show --all`")
    now = present[key]["value"]
    if isinstance(now, bool):
        if value.lower() not in SWITCHES:
            raise CommandError(f"{key}: write true or false, not {value!r}")
        return key, SWITCHES[value.lower()]
    if isinstance(now, int):
        try:
            return key, int(value)
        except ValueError:
            raise CommandError(f"{key}: {value!r} is not a whole number") from None
    if isinstance(now, list):
        return key, [entry.strip() for entry in value.split(",") if entry.strip()]
    return key, value


def _join(keys: Iterable[str]) -> str:
    return ", ".join(keys)
