# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that cannot be used: a server refuses to start on it, and says which file and what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from admin_api.store import Store
from admin_api.store.failures import StoreDamagedError, StoreNewerError

pytestmark = pytest.mark.asyncio


@pytest.fixture
def store_url(tmp_path):
    return f"sqlite:///{tmp_path / 'ocsentry.db'}"


async def made(store_url: str) -> Path:
    store = await Store.open(store_url)
    async with store.write() as unit:
        for number in range(200):
            await unit.audit.add("me", "test", str(number), filler="x" * 200)
    await store.close()
    path = Path(store_url.removeprefix("sqlite:///"))
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def overwrite_head(content: bytearray) -> None:
    content[:16] = b"this is not SQL!"


def overwrite_schema(content: bytearray) -> None:
    content[100:2000] = bytes(1900)


def overwrite_middle(content: bytearray) -> None:
    """Pages of the audit: no statement of a start reads them."""
    content[len(content) // 2 : len(content) * 3 // 4] = b"\xff" * (len(content) * 3 // 4 - len(content) // 2)


def cut_short(content: bytearray) -> None:
    del content[len(content) // 2 :]


@pytest.mark.parametrize("damage", [overwrite_head, overwrite_schema, overwrite_middle, cut_short])
async def test_a_server_does_not_start_on_a_damaged_file(store_url, damage):
    path = await made(store_url)
    content = bytearray(path.read_bytes())
    damage(content)
    path.write_bytes(content)
    with pytest.raises(StoreDamagedError) as error:
        await Store.open(store_url, serving=True)
    assert f"{path} is damaged" in str(error.value)
    assert "restore a backup" in str(error.value)
    assert path.read_bytes() == content


async def test_a_sound_file_is_opened(store_url):
    await made(store_url)
    await (await Store.open(store_url, serving=True)).close()


async def test_a_file_of_a_later_version_is_told_with_what_to_do(store_url):
    """After a downgrade of the package."""
    path = await made(store_url)
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreNewerError) as error:
        await Store.open(store_url, serving=True)
    for part in (f"store.url: {path}", "9999", "install the later version"):
        assert part in str(error.value)
