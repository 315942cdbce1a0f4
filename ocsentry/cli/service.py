# SPDX-License-Identifier: GPL-3.0-or-later
"""``init``, ``serve``, ``doctor``, ``status``, ``events``: the server itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocsentry.cli.durations import format_duration
from ocsentry.cli.invocation import CommandError, Invocation, command

if TYPE_CHECKING:
    from ocsentry.doctor import Finding

MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


def add_commands(app: typer.Typer) -> None:
    command(app, "init")(init)
    command(app, "serve")(serve)
    command(app, "doctor")(doctor)
    command(app, "status")(status)
    command(app, "events")(events)


def init(
    cli: Invocation,
    directory: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where to. Made if need be.")] = Path(),
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name or address of this server, for the certificate; repeat it."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="The VPN's port. Default: 443, with --demo 4443.")
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="For a first look: another port and a user that can log in.")
    ] = False,
) -> None:
    """Write a working configuration, a key with a certificate, rules and the database; show an admin token, once."""
    from ocsentry.provision import provision, render_welcome

    made = provision(directory, names=name or (), port=port, demo=demo)
    cli.emit(made.document(), render_welcome(made))


def serve(
    cli: Invocation,
    check: Annotated[bool, typer.Option("--check", help="Only say whether the server would start.")] = False,
) -> None:
    """Run the server in the foreground, until SIGTERM or SIGINT. SIGHUP reloads rules and certificate."""
    if check:
        from ocsentry.preflight import check_everything

        problems = check_everything(cli.config)
        if problems:
            raise CommandError("\n".join(problems))
        cli.emit({"problems": []}, f"{cli.config.path}: in order")
        return
    from ocsentry.serve import run_server

    run_server(cli.config)


def doctor(cli: Invocation) -> None:
    """Look for what keeps the server from working, and say how to mend it."""
    from ocsentry.doctor import examine

    findings = examine(cli.config)
    failed = sum(finding.level == "fail" for finding in findings)
    document = [{"check": f.check, "level": f.level, "detail": f.detail, "fix": f.fix} for f in findings]
    cli.emit(document, "\n".join(map(_finding_line, findings)))
    if failed:
        raise CommandError(f"{failed} check{'' if failed == 1 else 's'} failed")


def _finding_line(finding: Finding) -> str:
    fix = f"\n       fix: {finding.fix}" if finding.fix else ""
    return f"{MARKS[finding.level]}  {finding.check}: {finding.detail}{fix}"


def status(cli: Invocation) -> None:
    """Show what the running server does."""
    document = cli.server.get("status")
    cli.emit(document, _render_status(document))


def _render_status(document: dict[str, Any]) -> str:
    lines = []
    for key, value in document.items():
        if isinstance(value, dict):
            lines += [f"{key}.{inner}: {content}" for inner, content in value.items()]
        elif key.endswith("_seconds") or key == "uptime":
            lines.append(f"{key.removesuffix('_seconds')}: {format_duration(value)}")
        else:
            lines.append(f"{key}: {value}")
    return "\n".join(line.replace("_", " ", 1) for line in lines)


def events(
    cli: Invocation,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep showing them as they come.")] = False,
) -> None:
    """Show what happens: logins, verdicts, sessions, changes of policy."""
    for event in cli.server.stream("events", **({} if follow else {"follow": False})):
        data = event["data"]
        cli.emit({"kind": event.get("event"), **data} if isinstance(data, dict) else event, _event_line(event))


def _event_line(event: dict[str, Any]) -> str:
    data = event["data"]
    if not isinstance(data, dict):
        return f"{event.get('event', 'event')}  {data}"
    when = data.pop("at", data.pop("time", ""))
    fields = " ".join(f"{key}={value}" for key, value in data.items() if value not in (None, ""))
    return f"{when}  {event.get('event', 'event')}  {fields}"
