# SPDX-License-Identifier: GPL-3.0-or-later
"""``db``: work on whole databases."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocsentry.cli.invocation import CommandError, Invocation, count
from ocsentry.cli.nouns import command_group
from ocsentry.cli.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def group() -> typer.Typer:
    return command_group("Work on whole databases, while no server runs.", {"upgrade": upgrade, "copy": copy})


def upgrade(cli: Invocation) -> None:
    """Upgrade the schema of the configured database, all of it or nothing. A server does so itself when it starts."""
    from admin_api.store.schema import newest_revision
    from ocsentry.setup.service_user import ServiceUser

    url = cli.config.store_url
    with ServiceUser.find_or_self(cli.config).borrowed(), _alone("nothing was upgraded"), ExitStack() as locks:
        _lock(locks, url, exists=True)
        before = asyncio.run(_upgrade(url, cli.config.values.fleet.name))
    newest = newest_revision()
    done = f"upgraded the schema from {before or 'none'} to {newest}"
    text = f"the schema is at {newest} already" if before == newest else done
    cli.emit({"before": before, "now": newest}, text)


async def _upgrade(url: str, node: str) -> str | None:
    """Returns the revision before."""
    from admin_api.store import Store

    store = await Store.open(url, serving=True, node=node)
    await store.close()
    return store.revision_before


@contextmanager
def _alone(failed: str) -> Iterator[None]:
    """Yields, and raises the errors of stores as ``CommandError``. ``failed`` says what was not done."""
    from sqlalchemy.exc import SQLAlchemyError

    from admin_api.store.copying import CopyError
    from admin_api.store.failures import (
        DriverMissingError,
        StoreDamagedError,
        StoreInUseError,
        StoreNewerError,
        describe_failure,
    )

    try:
        yield
    except (CopyError, DriverMissingError, StoreDamagedError, StoreNewerError) as error:
        raise CommandError(str(error)) from error
    except StoreInUseError as error:
        raise CommandError(f"a server uses the database: {error}") from error
    except SQLAlchemyError as error:
        raise CommandError(f"{failed}: {describe_failure(error)}") from error


def _lock(locks: ExitStack, url: str, *, exists: bool) -> None:
    """Take the lock of a database file, and keep it in ``locks``. Raises ``CommandError`` if it has to exist."""
    from ocsentry.privileges.instance_lock import InstanceLock

    if (file := _sqlite_file(url)) is not None:
        if exists and not file.is_file():
            raise CommandError(f"{file} does not exist")
        locks.enter_context(closing(InstanceLock.of_database(file)))


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
    with _alone("nothing was copied"), ExitStack() as locks:
        _lock(locks, source, exists=True)
        _lock(locks, target, exists=False)
        counts = asyncio.run(_copy(source, target, quiet=cli.as_json))
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
