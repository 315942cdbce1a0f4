# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache of rows: lifetime, capacity, and clearing by commits."""

import asyncio

import pytest

from admin_api.store.identities.users import UserAttributes
from admin_api.store.read_cache import ReadCache
from vpn_frontend.ports import UserRecord

pytestmark = pytest.mark.asyncio


class Directory:
    def __init__(self, *names: str) -> None:
        self.users = {name: UserRecord(name=name, password_hash="hash") for name in names}
        self.asked = []
        self.gate = None

    async def read(self, name: str) -> UserRecord | None:
        self.asked.append(name)
        user = self.users.get(name)
        if self.gate is not None:
            await self.gate.wait()
        return user


async def test_a_user_is_read_once_per_lifetime_and_a_missing_one_each_time():
    directory, cache = Directory("alice"), ReadCache(lifetime=10)
    for now in 0, 1, 9.9:
        assert (await cache.find("alice", now, directory.read)).name == "alice"
    assert directory.asked == ["alice"]
    assert (await cache.find("alice", 10, directory.read)).name == "alice"
    assert directory.asked == ["alice", "alice"]
    assert [await cache.find("mallory", 10, directory.read) for _ in range(2)] == [None, None]
    assert directory.asked[2:] == ["mallory", "mallory"]


async def test_the_row_read_longest_ago_is_evicted():
    directory, cache = Directory("a", "b", "c"), ReadCache(capacity=2)
    for name in "a", "b", "c", "b", "c", "a":
        await cache.find(name, 0, directory.read)
    assert directory.asked == ["a", "b", "c", "a"]


async def test_a_row_read_during_a_change_is_not_cached():
    directory, cache = Directory("alice"), ReadCache()
    directory.gate = asyncio.Event()
    reading = asyncio.create_task(cache.find("alice", 0, directory.read))
    await asyncio.sleep(0)
    del directory.users["alice"]
    cache.clear()
    directory.gate.set()
    assert (await reading).name == "alice"
    assert await cache.find("alice", 0, directory.read) is None


async def test_a_commit_clears_the_cache(store):
    async with store.write() as unit:
        await unit.users.add("alice", "one", UserAttributes())
    assert (await store.find("alice")).password_hash == "one"
    async with store.write() as unit:
        await unit.users.replace(await unit.users.get("alice"), UserAttributes(enabled=False), "two")
    assert store.recall("alice") is None
    found = await store.find("alice")
    assert (found.password_hash, found.enabled) == ("two", False)
    assert store.recall("alice") is found
    async with store.write() as unit:
        await unit.users.remove(await unit.users.get("alice"))
    assert store.recall("alice") is None
    assert await store.find("alice") is None
