# SPDX-License-Identifier: GPL-3.0-or-later
"""``db``: work on whole databases."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocsentry.cli.invocation import CommandError, Invocation, command, count
from ocsentry.cli.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Mapping


def group() -> typer.Typer:
    app = typer.Typer(help="Work on whole databases, while no server runs.")

    @app.callback()
    def noun() -> None:
        """Keeps ``copy`` a word of its own: typer runs the only command of a group without it."""

    command(app, "copy")(copy)
    return app


def copy(
    cli: Invocation,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE-URL", help="For instance sqlite:////var/lib/ocsentry/ocsentry.db.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="TARGET-URL", help="An empty database: postgresql+psycopg://USER@HOST/NAME.")
    ],
) -> None:
    """Copy all rows to an empty database of either kind: all of them, or none.

    Stop the server before, and set `store.url` to the target after. Keep a password out of the command line:
    PostgreSQL's library reads it from ~/.pgpass.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from admin_api.store.copying import CopyError
    from admin_api.store.failures import DriverMissingError, StoreDamagedError, StoreInUseError, describe_failure
    from ocsentry.privileges.instance_lock import InstanceLock

    try:
        with ExitStack() as locks:
            for url, exists in ((source, True), (target, False)):
                if (file := _sqlite_file(url)) is not None:
                    if exists and not file.is_file():
                        raise CommandError(f"{file} does not exist")
                    locks.enter_context(closing(InstanceLock.of_database(file)))
            counts = asyncio.run(_copy(source, target, quiet=cli.as_json))
    except (CopyError, DriverMissingError, StoreDamagedError) as error:
        raise CommandError(str(error)) from error
    except StoreInUseError as error:
        raise CommandError(f"a server uses the database: {error}") from error
    except SQLAlchemyError as error:
        raise CommandError(f"nothing was copied: {describe_failure(error)}") from error
    full = {table: number for table, number in counts.items() if number}
    lines = [f"{table}: {number}" for table, number in full.items()]
    cli.emit({"tables": counts}, "\n".join([*lines, f"copied {count(sum(full.values()), 'row')}"]))


async def _copy(source_url: str, target_url: str, *, quiet: bool) -> Mapping[str, int]:
    from admin_api.store import Store
    from admin_api.store.copying import copy_store, count_rows

    source = await Store.open(source_url, serving=True)
    try:
        target = await Store.open(target_url, serving=True)
        try:
            with progress_bar("copying", await count_rows(source), in_bytes=False, quiet=quiet) as copied:
                return await copy_store(source, target, copied)
        finally:
            await target.close()
    finally:
        await source.close()


def _sqlite_file(url: str) -> Path | None:
    """Returns the database file of a URL. Raises ``CommandError`` for what is no URL."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except ArgumentError:
        raise CommandError(f"{url!r} is not a database URL such as sqlite:///FILE") from None
    if parsed.get_backend_name() != "sqlite":
        return None
    if not parsed.database:
        raise CommandError(f"{url!r} names no file")
    return Path(parsed.database)
