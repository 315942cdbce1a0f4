# SPDX-License-Identifier: GPL-3.0-or-later
"""An upgrade of a PostgreSQL schema whose tables nodes of the version before use."""

from __future__ import annotations

import asyncio
import os

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import create_engine

from admin_api.store import Store, database, migrations
from admin_api.store.schema import newest_revision
from lab.timeouts import STRICT, TIMEOUT

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run PostgreSQL as its own user"),
]
EARLIER = "0012"  # 0013 and 0016 widen the sessions, 0019 the deliveries
REQUEST = 500 if STRICT else int(TIMEOUT * 1000)  # milliseconds, of a statement


@pytest.fixture
def earlier(postgresql_url):
    """Connects to a database whose schema is to be upgraded."""
    engine = create_engine(postgresql_url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", next(iter(migrations.__path__)))
        config.attributes["connection"] = connection
        command.upgrade(config, EARLIER)
    engine.dispose()
    return postgresql_url.replace("+psycopg", "")


async def refused_locks(url):
    """The rolled back transactions of the database: each time that an upgrade has given up a wait for a lock is one."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        found = await connection.execute("SELECT xact_rollback FROM pg_stat_database WHERE datname = %s", [name])
        ((count,),) = await found.fetchall()
        return count


@pytest.mark.parametrize("table", ["sessions", "webhook_deliveries"])
async def test_it_holds_up_no_request_and_ends_when_the_tables_are_free(postgresql_url, earlier, table):
    """A long reader is in its way; a request that comes behind the upgrade waits for less than its own limit."""
    requests = 0
    look = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
    async with (
        await psycopg.AsyncConnection.connect(earlier) as reader,
        await psycopg.AsyncConnection.connect(earlier, autocommit=True) as request,
    ):
        await reader.execute(look)
        await request.execute(f"SET statement_timeout = {REQUEST}")
        before = await refused_locks(earlier)
        opening = asyncio.create_task(Store.open(postgresql_url))
        async with asyncio.timeout(TIMEOUT):
            while await refused_locks(earlier) < before + 2:
                await request.execute(look)
                requests += 1
        assert not opening.done()
        await reader.rollback()
        store = await opening
        await store.close()
        assert requests
        found = await request.execute("SELECT version_num FROM alembic_version")
        assert await found.fetchall() == [(newest_revision(),)]


async def test_it_gives_up_in_the_end_and_changes_nothing(postgresql_url, earlier, monkeypatch):
    monkeypatch.setattr(database, "UPGRADE_TIMEOUT", 0.0)
    async with await psycopg.AsyncConnection.connect(earlier) as reader:
        await reader.execute("SELECT count(*) FROM webhook_deliveries")
        with pytest.raises(Exception, match="lock timeout"):
            await Store.open(postgresql_url)
        found = await reader.execute("SELECT version_num FROM alembic_version")
        assert await found.fetchall() == [(EARLIER,)]
