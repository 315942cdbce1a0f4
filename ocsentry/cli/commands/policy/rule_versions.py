# SPDX-License-Identifier: GPL-3.0-or-later
"""``rules diff``, ``apply``, ``confirm``, ``versions`` and ``rollback``: the policy of a running server as a whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocsentry.cli.commands.blocks import ssh_client
from ocsentry.cli.durations import parse_duration
from ocsentry.cli.invocation import CommandError, Invocation, command, count
from ocsentry.cli.nouns import DryRunOption, ForceOption
from ocsentry.cli.tables import render_table

if TYPE_CHECKING:
    from collections.abc import Sequence

FileArgument = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="A rule document for the API's rules. Default: the rule files on disk."),
]
WithinOption = Annotated[
    str | None,
    typer.Option("--confirm-within", metavar="TIME", help="Roll back by itself unless confirmed: 60s, 5m."),
]
CanaryOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NODE", help="Only on this node of a fleet first. May be repeated; needs --confirm-within."),
]
ReasonOption = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the version log.")]


def add_commands(app: typer.Typer) -> None:
    command(app, "diff")(diff)
    command(app, "apply")(apply)
    command(app, "confirm")(confirm)
    command(app, "versions")(versions)
    command(app, "rollback")(rollback)


def diff(
    cli: Invocation,
    file: FileArgument = None,
    since: Annotated[int | None, typer.Option(metavar="N", min=1, help="What changed after this version.")] = None,
    until: Annotated[int | None, typer.Option(metavar="N", min=1, help="Up to this one. Default: the latest.")] = None,
) -> None:
    """Show what `rules apply` would change, or what changed between two versions."""
    body = None if file is None else read_document(file)
    answer = cli.server.post("policy/diff", body, since=since, until=until)
    cli.emit(answer, render_changes(answer["changes"]) or "no difference")


def apply(
    cli: Invocation,
    file: FileArgument = None,
    confirm_within: WithinOption = None,
    canary: CanaryOption = None,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
    force: ForceOption = False,
) -> None:
    """Put the rule files on disk in force, or replace the API's rules by those of a document.

    With --confirm-within the policy is rolled back by itself, unless `rules confirm` comes in time. So a policy that
    locks you out lets you in again. With --canary some nodes of a fleet try it until then, and `rules confirm` puts it
    in force on all of them; `rules rollback` withdraws it.
    """
    body: dict[str, Any] = {"document": None if file is None else read_document(file)}
    if canary:
        body["canary"] = canary
    _change(cli, "apply", body, confirm_within=confirm_within, reason=reason, dry_run=dry_run, force=force)


def rollback(
    cli: Invocation,
    version: Annotated[
        int | None, typer.Argument(metavar="VERSION", min=1, help="Default: the version before.")
    ] = None,
    confirm_within: WithinOption = None,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
    force: ForceOption = False,
) -> None:
    """Return to an earlier version of the policy. Rule files on disk stay as they are, and are held out of force."""
    body = {"version": version}
    _change(cli, "rollback", body, confirm_within=confirm_within, reason=reason, dry_run=dry_run, force=force)


def confirm(cli: Invocation) -> None:
    """Keep the policy that waits to be confirmed."""
    answer = cli.server.post("policy/confirm")
    cli.emit(answer, f"confirmed: policy version {answer['version']} stays")


def versions(
    cli: Invocation,
    number: Annotated[
        int | None, typer.Argument(metavar="VERSION", min=1, help="Show what this version changed.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="How many of the latest to list.")] = 20,
) -> None:
    """List the versions of the policy, newest first: who changed it, when, how and why."""
    if number is not None:
        answer = cli.server.get(f"policy/versions/{number}")
        cli.emit(answer, f"{_headline(answer)}\n{render_changes(answer['changes'])}")
        return
    rows = cli.server.get("policy/versions", limit=limit)["items"]
    cli.emit(rows, render_table(rows, ("number", "at", "actor", "action", "rules", "outcome", "reason")))


def read_document(file: Path) -> object:
    """Returns a JSON document. Raises ``CommandError``."""
    import json

    try:
        return json.loads(file.read_text())
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise CommandError(f"{file}: not JSON: {error}") from None


def render_changes(changes: Sequence[dict[str, Any]]) -> str:
    """Returns each changed rule or file with its diff."""
    parts = []
    for change in changes:
        what = "rule" if change["source"] == "api" else "file"
        body = change["diff"] if change["diff"] is not None else "(too large to compare)\n"
        parts.append(f"{change['kind']} {what} {change['name']}\n{body}")
    return "".join(parts).rstrip()


def _change(
    cli: Invocation,
    verb: str,
    body: dict[str, Any],
    *,
    confirm_within: str | None,
    reason: str,
    dry_run: bool,
    force: bool,
) -> None:
    within = None if confirm_within is None else parse_duration(confirm_within)
    etag = cli.server.etag("policy")  # a change of another caller meanwhile is refused
    answer = cli.server.post(
        f"policy/{verb}",
        body | {"confirm_within": within, "reason": reason},
        etag=etag,
        dry_run=dry_run or None,
        force=force or None,
        protect=ssh_client(os.environ),
    )
    sessions = count(answer["sessions_cut"], "session")
    if dry_run:
        cli.emit(answer, f"{count(answer['rules'], 'rule')}; {sessions} would be disconnected")
        return
    text = f"policy version {answer['version']} in force; {sessions} disconnected"
    if body.get("canary"):
        text = f"in force on {', '.join(answer['canary']) or 'no node yet'} only; {sessions} disconnected on this node"
        text += f"\nwithdrawn at {answer['confirm_by']} unless you run: ocsentry rules confirm"
        text += "\nwatch it: ocsentry nodes canary; withdraw it: ocsentry rules rollback"
    elif answer["confirm_by"] is not None:
        text += f"\nrolled back at {answer['confirm_by']} unless you run: ocsentry rules confirm"
    cli.emit(answer, text)


def _headline(version: dict[str, Any]) -> str:
    reason = f": {version['reason']}" if version["reason"] else ""
    return f"version {version['number']}, {version['at']}, {version['action']} by {version['actor']}{reason}"
