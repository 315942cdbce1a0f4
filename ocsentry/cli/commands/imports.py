# SPDX-License-Identifier: GPL-3.0-or-later
"""``import``: make a configuration from that of another server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocsentry.cli.invocation import Invocation, command, count


def group() -> typer.Typer:
    app = typer.Typer(help="Make a configuration from that of another server.", no_args_is_help=True)
    command(app, "ocserv")(import_ocserv)
    return app


def import_ocserv(
    cli: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The configuration of ocserv (ocserv.conf).")],
    directory: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Target folder; created if missing.")
    ] = Path(),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; show the configuration and the report.")
    ] = False,
) -> None:
    """Write a configuration, rules, groups and users that mean what ocserv's files mean, and report every line."""
    from ocsentry.api_client.offline import OfflineClient
    from ocsentry.setup.ocserv_import import FILE, plan_import, write_import

    folder = directory.absolute()
    plan = plan_import(file, folder)
    report = plan.report()
    names = [str(user["name"]) for user in plan.users]
    document = {"config": str(folder / FILE), "users": names, "report": report}
    if dry_run:
        cli.emit({**document, "toml": plan.toml}, "\n".join([*report, "", plan.toml]))
        return
    write_import(plan, folder, OfflineClient)
    cli.emit(document, "\n".join([*report, f"wrote {folder / FILE} and {count(len(names), 'user')}"]))
