# SPDX-License-Identifier: GPL-3.0-or-later
"""``user``: manage the users of the VPN."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
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
from ocsentry.cli.commands.accounts import devices, totp
from ocsentry.cli.completion import complete_users
from ocsentry.cli.invocation import CommandError, Invocation, count
from ocsentry.cli.nouns import noun_group

if TYPE_CHECKING:
    from ocsentry.user_files.password_file import OcpasswdUser

COLUMNS = ("name", "enabled", "groups", "max_same_clients", "ipv4", "ipv6", "expires_at", "note")
ATTRIBUTES: dict[str, type[object]] = {
    "enabled": bool,
    "groups": list,
    "max_same_clients": int,
    "ipv4": str,
    "ipv6": str,
    "expires_at": str,
    "note": str,
}
PLAIN = ("banner", "profile")
BATCH = 1_000  # users in one request
MAX_PASSWORD_BYTES = 1024  # of standard input; the login form accepts no longer passwords

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.", autocompletion=complete_users)]
StdinOption = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


def group() -> typer.Typer:
    app = noun_group(
        list_users,
        "Manage the users of the VPN.",
        {
            "add": add,
            "passwd": passwd,
            "show": show,
            "set": change,
            "enable": enable,
            "disable": disable,
            "del": remove,
            "import": import_users,
        },
    )
    app.add_typer(totp.group(), name="totp")
    app.add_typer(devices.group(), name="devices")
    return app


def add(
    cli: Invocation,
    name: NameArgument,
    group: Annotated[
        list[str] | None, typer.Option(metavar="GROUP", help="A group of the user. May be repeated.")
    ] = None,
    max_same_clients: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Concurrent sessions; 0: no limit. Default: the configuration's."),
    ] = None,
    ipv4: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Inner IPv4 address reserved for the user.")
    ] = None,
    ipv6: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Inner IPv6 address reserved for the user.")
    ] = None,
    note: Annotated[str, typer.Option(metavar="TEXT", help="A remark.")] = "",
    password_stdin: StdinOption = False,
) -> None:
    """Add a user. The command prompts for the password or reads it from standard input."""
    attributes: dict[str, object] = {"groups": group or [], "note": note}
    given = {"max_same_clients": max_same_clients, "ipv4": ipv4, "ipv6": ipv6}
    attributes |= {key: value for key, value in given.items() if value is not None}
    user = cli.api.post("users", {"name": name, "password": read_password(from_stdin=password_stdin), **attributes})
    cli.emit(user, f"added user {name}")


def passwd(cli: Invocation, name: NameArgument, password_stdin: StdinOption = False) -> None:
    """Set a new password for a user."""
    password = read_password(from_stdin=password_stdin)
    user = cli.api.patch(f"users/{quote(name, safe='')}", {"password": password})
    cli.emit(user, f"changed the password of {name}")


def list_users(cli: Invocation) -> None:
    """List the users."""
    cli.emit_table(cli.api.items("users"), COLUMNS, "no users")


def show(
    cli: Invocation,
    name: NameArgument,
    everything: AllOption = False,
) -> None:
    """Show a user, and what the user gets and where each value comes from."""
    found = cli.api.get(f"users/{quote(name, safe='')}")
    cli.emit(found, f"{show_attributes(found, COLUMNS)}\n\n{show_effective(found, everything=everything)}")


def change(
    cli: Invocation,
    name: NameArgument,
    settings: Assignments,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; say how many sessions would end.")
    ] = False,
) -> None:
    """Change attributes and settings of a user. Live sessions have them at once, as far as they can."""
    patch = read_assignments(settings, ATTRIBUTES, PLAIN)
    changed = cli.api.patch(f"users/{quote(name, safe='')}", patch, dry_run=dry_run or None)
    if dry_run:
        cli.emit(changed, f"would end {count(changed['sessions_cut'], 'session')}")
    else:
        cli.emit(changed, f"changed user {name}{tell_change(changed)}")


def enable(cli: Invocation, name: NameArgument) -> None:
    """Allow a disabled user to log in again."""
    cli.emit(cli.api.patch(f"users/{quote(name, safe='')}", {"enabled": True}), f"enabled user {name}")


def disable(cli: Invocation, name: NameArgument) -> None:
    """Refuse a user's logins and end its sessions. Nothing of the user is lost."""
    changed = cli.api.patch(f"users/{quote(name, safe='')}", {"enabled": False})
    cli.emit(changed, f"disabled user {name}{tell_change(changed)}")


def remove(cli: Invocation, name: NameArgument) -> None:
    """Delete a user and end the user's sessions."""
    cli.api.delete(f"users/{quote(name, safe='')}")
    cli.emit({"name": name}, f"deleted user {name}")


def import_users(
    cli: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A password file of ocserv (ocpasswd).")],
) -> None:
    """Add the users of an ocserv password file, with their passwords and groups.

    Existing users are left unchanged. Lines that cannot be used are left out, and named.
    """
    from ocsentry.user_files.password_file import parse_for_import

    read = parse_for_import(file.read_bytes())
    found = list(read.users.values())
    present = {str(user["name"]).casefold() for user in cli.api.items("users")}
    new = [user for user in found if user.name.casefold() not in present]
    for batch in (new[start : start + BATCH] for start in range(0, len(new), BATCH)):
        cli.api.post("users/import", {"users": [_body(user) for user in batch]})
    skipped = len(found) - len(new)
    told = f"added {count(len(new), 'user')}, left {skipped} unchanged"
    if read.problems:
        left_out = "\n".join(f"{file}: {problem}" for problem in read.problems)
        raise CommandError(f"{told}, and could not use:\n{left_out}")
    cli.emit({"added": [user.name for user in new], "skipped": skipped}, told)


def _body(user: OcpasswdUser) -> dict[str, object]:
    groups = list(user.groups)
    return {"name": user.name, "password_hash": user.password_hash, "groups": groups, "enabled": user.enabled}


def read_password(*, from_stdin: bool) -> str:
    """Returns the password, typed twice at a prompt or read from the first line of standard input."""
    if not from_stdin:
        if not sys.stdin.isatty():
            raise CommandError("no terminal to prompt for the password: use --password-stdin")
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    line = sys.stdin.readline(MAX_PASSWORD_BYTES + 1)
    password = line.rstrip("\r\n")
    if not password:
        raise CommandError("standard input holds no password")
    if len(password.encode()) > MAX_PASSWORD_BYTES:
        raise CommandError(f"the password is longer than {MAX_PASSWORD_BYTES} bytes")
    return password
