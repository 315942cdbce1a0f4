# SPDX-License-Identifier: GPL-3.0-or-later
"""Two nodes on one PostgreSQL: what each keeps for itself, and what both write at once."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from admin_api.store import Store
from admin_api.store.failures import StoreInUseError
from vpn_frontend.ports import JournalEntry, Stage

pytestmark = pytest.mark.asyncio
ROUNDS = 25  # audit rows that each node writes
OF_FIRST = "0f" * 16  # a session


@pytest_asyncio.fixture
async def nodes(postgresql_url):
    """Two stores that were opened at once on a new database."""
    stores = await asyncio.gather(*(Store.open(postgresql_url, serving=True, node=name) for name in ("n1", "n2")))
    yield stores
    for store in stores:
        await store.close()


async def test_several_nodes_make_the_schema_at_once(postgresql_url):
    names = [f"n{number}" for number in range(4)]
    stores = await asyncio.gather(*(Store.open(postgresql_url, serving=True, node=name) for name in names))
    async with stores[0].read() as unit:
        assert await unit.blocks.read_all() == []
    for store in stores:
        await store.close()


async def test_audit_rows_of_several_nodes_are_one_chain(nodes):
    async def write(store):
        for number in range(ROUNDS):
            async with store.write() as unit:
                await unit.audit.add(store.node, "test", str(number))

    await asyncio.gather(*map(write, nodes))
    async with nodes[0].read() as unit:
        assert await unit.audit.first_broken() is None
    async with nodes[1].connected() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM audit")).scalar() == 2 * ROUNDS


async def test_a_starting_node_leaves_the_sessions_of_another_alone(nodes, view):
    first, second = nodes
    opened = [JournalEntry(Stage.OPENED, view(OF_FIRST), resumption="{}")]
    assert await first.record(opened) == []
    assert await second.close_orphans() == 0
    assert await second.open_records() == []
    assert [record.id for record in await first.open_records()] == [OF_FIRST]
    assert await first.close_orphans() == 1


async def test_each_node_keeps_the_state_of_its_own_engine(nodes):
    networks = {"n1": "198.51.100.7/32", "n2": "203.0.113.9/32"}
    for store in nodes:
        penalty = {"network": networks[store.node], "until": None, "reason": "rate", "rule_id": None}
        source = {"network": networks[store.node], "strikes": 1, "forgotten_at": None, "events": []}
        place = {"user": "alice", "countries": [store.node], "place": None, "seen_at": None}
        async with store.write() as unit:
            await unit.penalties.replace_all([penalty])
            await unit.sources.replace_all([source])
            await unit.locations.replace_all([place])
    for store in nodes:
        async with store.read() as unit:
            assert [row["network"] for row in await unit.penalties.read_all()] == [networks[store.node]]
            assert [row["network"] for row in await unit.sources.read_all()] == [networks[store.node]]
            assert [row["countries"] for row in await unit.locations.read_all()] == [[store.node]]
    async with nodes[0].write() as unit:
        await unit.locations.remove("alice")
    async with nodes[1].read() as unit:
        assert await unit.locations.read_all() == [], "a removed user is forgotten on all nodes"


async def test_a_server_outside_the_fleet_shares_its_database_with_no_node(nodes, postgresql_url):
    with pytest.raises(StoreInUseError, match="another server uses this database"):
        await Store.open(postgresql_url, serving=True)
    for store in nodes:
        await store.close()
    single = await Store.open(postgresql_url, serving=True)
    with pytest.raises(StoreInUseError):
        await Store.open(postgresql_url, serving=True, node="n1")
    await single.close()
