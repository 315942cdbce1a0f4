# SPDX-License-Identifier: GPL-3.0-or-later
"""``rules add``, ``edit``, ``del``, ``show``: rules that are made over the API, one at a time."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from ocsentry.cli.completion import complete_rules
from ocsentry.cli.durations import parse_duration
from ocsentry.cli.invocation import CommandError, Invocation, command, count
from ocsentry.cli.nouns import DryRunOption, ForceOption

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DOCUMENT = 1024 * 1024  # bytes of one rule
EDITOR = "vi"

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The rule's id.", autocompletion=complete_rules)]


def add_commands(app: typer.Typer) -> None:
    command(app, "show")(show)
    command(app, "add")(add)
    command(app, "edit")(edit)
    command(app, "del")(remove)


def show(cli: Invocation, rule: IdArgument) -> None:
    """Show one rule as a document."""
    found = cli.server.get(_path(rule))
    cli.emit(found, json.dumps(found["document"], indent=2, ensure_ascii=False))


def add(
    cli: Invocation,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A rule as JSON; - is standard input. Or use the options.")
    ] = None,
    rule_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="The new rule's id.")] = None,
    kind: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="blacklist, whitelist, geo_filter, ...")
    ] = None,
    network: Annotated[str | None, typer.Option(metavar="CIDR", help="The network that it concerns.")] = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="A remark, shown with the rule.")] = None,
    ttl: Annotated[str | None, typer.Option(metavar="TIME", help="Lifetime: 15m, 1h, 2d.")] = None,
    dry_run: DryRunOption = False,
    force: ForceOption = False,
) -> None:
    """Add a rule. It is in force before the command returns."""
    given = {
        "id": rule_id,
        "type": kind,
        "remote_addr": network,
        "description": description,
        "ttl": None if ttl is None else parse_duration(ttl),
    }
    options = {key: value for key, value in given.items() if value is not None}
    if (file is None) == (not options):
        raise CommandError("name a file, or describe the rule by --id, --type and --network")
    document = options if file is None else _parse(_read(file))
    made = cli.server.post("rules", document, dry_run=dry_run or None, force=force or None)
    _tell(cli, made, f"added rule {made['id']}", dry_run=dry_run)


def edit(
    cli: Invocation,
    rule: IdArgument,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The new document; - is standard input. Default: $EDITOR.")
    ] = None,
    dry_run: DryRunOption = False,
    force: ForceOption = False,
) -> None:
    """Replace a rule made over the API, if nobody else has changed it meanwhile."""
    found = cli.server.get(_path(rule))
    text = json.dumps(found["document"], indent=2, ensure_ascii=False) + "\n"
    edited = _edit(text) if file is None else _read(file)
    document = _parse(edited)
    if document == found["document"]:
        cli.emit(found, "no change")
        return
    changed = cli.server.put(_path(rule), document, found["etag"], dry_run=dry_run or None, force=force or None)
    _tell(cli, changed, f"changed rule {rule}", dry_run=dry_run)


def remove(cli: Invocation, rule: IdArgument, dry_run: DryRunOption = False, force: ForceOption = False) -> None:
    """Remove a rule made over the API. Rules of files are removed in their file."""
    answer = cli.server.delete(_path(rule), dry_run=dry_run or None, force=force or None)
    _tell(cli, answer or {"id": rule}, f"removed rule {rule}", dry_run=dry_run)


def _tell(cli: Invocation, answer: Mapping[str, Any], done: str, *, dry_run: bool) -> None:
    cut = answer.get("sessions_cut")
    if dry_run:
        cli.emit(answer, f"{count(cut or 0, 'session')} would be disconnected")
    else:
        cli.emit(answer, done if cut is None else f"{done}; {count(cut, 'session')} disconnected")


def _path(rule: str) -> str:
    return f"rules/{quote(rule, safe='')}"


def _read(file: Path) -> str:
    if str(file) == "-":
        return sys.stdin.read(MAX_DOCUMENT)
    with file.open() as stream:
        return stream.read(MAX_DOCUMENT)


def _edit(text: str) -> str:
    """Returns ``text`` as the operator's editor saves it."""
    if not sys.stdin.isatty():
        raise CommandError("no terminal for an editor: name a file, or - for standard input")
    with tempfile.TemporaryDirectory(prefix="ocsentry-") as folder:
        file = Path(folder) / "rule.json"
        file.write_text(text)
        command_line = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or EDITOR)
        done = subprocess.run([*command_line, str(file)], check=False)
        if done.returncode:
            raise CommandError(f"{command_line[0]} ended with status {done.returncode}; nothing is changed")
        return file.read_text()


def _parse(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise CommandError(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise CommandError("a rule is a JSON object")
    return document
