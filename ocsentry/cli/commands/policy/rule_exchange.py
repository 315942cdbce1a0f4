# SPDX-License-Identifier: GPL-3.0-or-later
"""``rules import`` and ``rules export``: rule files and bans in other tools' formats."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocsentry.cli.invocation import CommandError, Invocation, command

if TYPE_CHECKING:
    from collections.abc import Callable


class ImportSource(StrEnum):
    RULES = "rules"  # any format of rule files
    CROWDSEC = "crowdsec"
    FAIL2BAN = "fail2ban"


class ExportTarget(StrEnum):
    NFTABLES = "nftables"
    CROWDSEC = "crowdsec"
    FAIL2BAN = "fail2ban"


def add_commands(app: typer.Typer) -> None:
    command(app, "import")(import_rules)
    command(app, "export")(export_bans)


def import_rules(
    cli: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to import.")],
    source: Annotated[
        ImportSource,
        typer.Option("--from", help="Format: a rule file, or the bans of another tool."),
    ] = ImportSource.RULES,
    force: Annotated[bool, typer.Option("--force", help="Replace a rule file of the same name.")] = False,
) -> None:
    """Check a file together with the present rules, and put it into the rules folder.

    Bans of another tool become a rule file; each keeps its end.
    """
    name = file.name if source is ImportSource.RULES else f"{file.stem}.json"
    target = put_rule_file(cli, name, partial(_content, file, source), force=force)
    cli.emit({"file": str(target)}, f"wrote {target}; a running server applies it at once")


def put_rule_file(cli: Invocation, name: str, content: Callable[[], str], *, force: bool = False) -> Path:
    """Check a new file together with the present rules, and put it into the rules folder. Returns its path."""
    from ocsentry.configuration.policy_files import rule_folder
    from ocsentry.setup.service_user import ServiceUser

    user = ServiceUser.find_or_self(cli.config)
    folder = rule_folder(cli.config.values.policy)
    target = folder / name
    if target.exists() and not force:
        raise CommandError(f"{target} exists (replace it with --force)")
    fresh = target.with_name(f"{target.name}.new")  # the suffix .new is ignored; the rename is atomic
    fresh.write_text(content())
    try:
        user.give(fresh)
        with user.borrowed():  # what the server cannot read, it would refuse later
            _check(cli, folder, fresh, target)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    return target


def _content(file: Path, source: ImportSource) -> str:
    from ocsentry.setup.bans import convert_bans

    match source:
        case ImportSource.CROWDSEC:
            return convert_bans(file, "crowdsec")
        case ImportSource.FAIL2BAN:
            return convert_bans(file, "fail2ban")
    try:
        return file.read_text()
    except UnicodeDecodeError:
        raise CommandError(f"{file}: not text") from None


def _check(cli: Invocation, folder: Path, fresh: Path, target: Path) -> None:
    """Check that the whole policy stays valid with the new file in place. Raises ``CommandError``."""
    from ocsentry.configuration.policy_files import load_policy
    from sentry_engine import PolicyError
    from sentry_engine.policy.rule_files import SCHEMA_NAME, SUFFIXES

    if target.suffix not in SUFFIXES or target.name == SCHEMA_NAME:
        raise CommandError(f"{target.name}: rule files end in {', '.join(SUFFIXES)} and are not named {SCHEMA_NAME}")
    named = [path for path in cli.config.values.policy.rules if path != folder]
    others = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix in SUFFIXES and path.name != SCHEMA_NAME and path != target
    ]
    try:
        load_policy(cli.config.values.policy, *named, *others, fresh)
    except PolicyError as error:
        raise CommandError("\n".join(str(p).replace(str(fresh), str(target)) for p in error.problems)) from None


def export_bans(
    cli: Invocation,
    target: Annotated[
        ExportTarget, typer.Option("--to", help="The tool that reads the output.")
    ] = ExportTarget.NFTABLES,
) -> None:
    """Print the addresses that are refused now, for another tool: rules, and a running server's blocks and penalties.

    Exceptions (never_block, whitelists) are cut out of the bans, because the other tool knows no exceptions.
    """
    from ocsentry.setup.bans import list_bans, policy_with_api_rules, render_bans

    settings = cli.config.values.policy
    server = cli.server if cli.server.running() else None
    policy = policy_with_api_rules(settings.rules, settings, server)
    typer.echo(render_bans(list_bans(policy, server, cli.config.values.policy.never_block), target.value), nl=False)
