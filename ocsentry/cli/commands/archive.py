# SPDX-License-Identifier: GPL-3.0-or-later
"""``backup`` and ``restore``: one archive of everything that makes this server."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ocsentry.cli.invocation import CommandError, Invocation, command, count


def add_commands(app: typer.Typer) -> None:
    command(app, "backup")(backup)
    command(app, "restore")(restore)


def backup(
    cli: Invocation,
    archive: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The archive. Default: ocsentry-TIME.tar.gz here.")
    ] = None,
) -> None:
    """Write one archive of configuration, rules, keys and database. The server may run meanwhile.

    It holds private keys and password hashes: keep it as safe as the server.
    """
    from ocsentry.setup.backup import make_backup

    target = archive or Path(f"ocsentry-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz")
    if target.exists():
        raise CommandError(f"{target} exists already")
    made = make_backup(cli.config, target)
    lines = [f"{target}: {count(len(made.files), 'file')}"]
    lines += [f"not in it, because it is outside {cli.config.path.parent}: {path}" for path in made.left_out]
    if not cli.config.store_url.startswith("sqlite"):
        lines.append("not in it: the PostgreSQL database; use pg_dump")
    cli.emit({"archive": str(target), **asdict(made)}, "\n".join(lines))


def restore(
    cli: Invocation,
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="An archive of `ocsentry backup`.")],
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Where the server's folder is made.", show_default=False)
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only check the archive.")] = False,
) -> None:
    """Check an archive, and make the server's folder from it. Nothing is written unless all of it is whole."""
    from ocsentry.setup.backup import read_backup

    if check == (directory is not None):
        raise CommandError("name the new folder with --dir, or give --check")
    found = read_backup(archive, directory)
    said = f"{archive}: OK, {count(len(found.files), 'file')} of {found.made_at} (version {found.version})"
    if directory is not None:
        said = f"restored {count(len(found.files), 'file')} of {found.made_at} to {directory}"
    lines = [said, *(f"restore yourself: {path}" for path in found.left_out)]
    cli.emit({"directory": directory and str(directory), **asdict(found)}, "\n".join(lines))
