# SPDX-License-Identifier: GPL-3.0-or-later
"""``group``: manage groups of users and what their members get."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from ocsentry.cli.assignments import (
    AllOption,
    Assignments,
    read_assignments,
    show_attributes,
    show_effective,
    tell_change,
)
from ocsentry.cli.completion import complete_groups
from ocsentry.cli.invocation import CommandError, Invocation, count
from ocsentry.cli.nouns import DryRunOption, noun_group

COLUMNS = ("name", "source", "label", "members", "note")
ATTRIBUTES: dict[str, type[object]] = {"label": str, "note": str}
PLAIN = ("banner", "profile", "expires_at")
LISTS = ("auth.methods", "auth.require")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The group's name.", autocompletion=complete_groups)]


def group() -> typer.Typer:
    return noun_group(
        list_groups,
        "Manage groups of users and what their members get.",
        {
            "add": add,
            "show": show,
            "set": change,
            "del": remove,
        },
    )


def add(
    cli: Invocation,
    name: NameArgument,
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as routes=10.0.0.0/8 or label=Staff."),
    ] = None,
) -> None:
    """Add a group, with settings as in the configuration file."""
    made = cli.api.post("groups", {"name": name, **read_assignments(settings or [], ATTRIBUTES, PLAIN, LISTS)})
    cli.emit(made, f"added group {name}{tell_change(made)}")


def list_groups(cli: Invocation) -> None:
    """List the groups of the database and of the configuration."""
    cli.emit_table(cli.api.items("groups"), COLUMNS, "no groups")


def show(cli: Invocation, name: NameArgument, everything: AllOption = False) -> None:
    """Show a group, and what its members get."""
    found = cli.api.get(f"groups/{quote(name, safe='')}")
    text = f"{show_attributes(found, COLUMNS)}\n\n{show_effective(found, everything=everything)}"
    cli.emit(found, text)


def change(cli: Invocation, name: NameArgument, settings: Assignments, dry_run: DryRunOption = False) -> None:
    """Change settings of a group. Live sessions have them at once, as far as they can."""
    patch = read_assignments(settings, ATTRIBUTES, PLAIN, LISTS)
    if not patch:
        raise CommandError("name a setting to change: KEY=VALUE")
    changed = cli.api.patch(f"groups/{quote(name, safe='')}", patch, dry_run=dry_run or None)
    done = f"would end {count(changed['sessions_cut'], 'session')}" if dry_run else f"changed group {name}"
    cli.emit(changed, done if dry_run else f"{done}{tell_change(changed)}")


def remove(cli: Invocation, name: NameArgument) -> None:
    """Delete a group. Its members keep the membership."""
    cli.api.delete(f"groups/{quote(name, safe='')}")
    cli.emit({"name": name}, f"deleted group {name}")
