# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of whole databases, from each kind to each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from admin_api.enforcement.blocks.table import BlockEntry
from admin_api.store import Store, UserAttributes
from admin_api.store.columns import Base
from admin_api.store.copying import BATCH, CopyError, copy_store

pytestmark = pytest.mark.asyncio
NOW = datetime(2030, 1, 1, tzinfo=UTC)


async def fill(store, blocks=BATCH + 1):
    async with store.write() as unit:
        user = await unit.users.add("alice", "hash", UserAttributes(groups=("staff", "night")))
        await unit.audit.add("test", "user_created", user.name)
        await unit.tokens.add("0" * 12, b"digest", name="ci", scopes=["status:read"], created_by="test", expires_at=NOW)
        addresses = (f"198.18.{number // 256}.{number % 256}/32" for number in range(blocks))
        ends = NOW + timedelta(days=1)
        await unit.blocks.put(
            [BlockEntry(f"b{number:06}", cidr, "A test", "test", NOW, ends) for number, cidr in enumerate(addresses)]
        )


async def rows(store):
    found = {}
    async with store.connected() as connection:
        for table in Base.metadata.sorted_tables:
            query = select(table).order_by(*table.primary_key.columns)
            found[table.name] = sorted(map(repr, (await connection.execute(query)).all()))
    return found


async def test_every_row_is_copied(store, tmp_path):
    source = await Store.open(f"sqlite:///{tmp_path / 'source.db'}")
    try:
        await fill(source)
        told = []
        counts = await copy_store(source, store, told.append)
        assert counts["blocks"] == BATCH + 1
        assert sum(told) == sum(counts.values())
        assert await rows(store) == await rows(source)
        async with store.write() as unit:  # the numbers of the audit go on behind those of the copy
            await unit.audit.add("test", "user_changed", "alice")
            assert await unit.audit.first_broken() is None
        back = await Store.open(f"sqlite:///{tmp_path / 'back.db'}")
        try:
            await copy_store(store, back, told.append)
            assert await rows(back) == await rows(store)
        finally:
            await back.close()
    finally:
        await source.close()


async def test_a_target_with_rows_keeps_them_and_gets_none(store, tmp_path):
    source = await Store.open(f"sqlite:///{tmp_path / 'source.db'}")
    try:
        await fill(source, blocks=1)
        async with store.write() as unit:
            await unit.users.add("bob", "hash", UserAttributes())
        before = await rows(store)
        with pytest.raises(CopyError, match="table users has rows already"):
            await copy_store(source, store, lambda _: None)
        assert await rows(store) == before
    finally:
        await source.close()


async def test_a_copy_that_breaks_off_leaves_nothing(store, tmp_path):
    source = await Store.open(f"sqlite:///{tmp_path / 'source.db'}")
    try:
        await fill(source)

        def break_off(_):
            raise RuntimeError("pulled")

        with pytest.raises(RuntimeError, match="pulled"):
            await copy_store(source, store, break_off)
        async with store.connected() as connection:
            for table in Base.metadata.sorted_tables:
                assert await connection.scalar(select(func.count()).select_from(table)) == 0, table.name
    finally:
        await source.close()
