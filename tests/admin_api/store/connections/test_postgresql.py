# SPDX-License-Identifier: GPL-3.0-or-later
"""The store on a real PostgreSQL: blocks, the claim of one server, and a database that is killed."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest
import pytest_asyncio

from admin_api.enforcement.blocks import writer as block_writer
from admin_api.enforcement.service import Enforcement
from admin_api.event_hub import EventHub
from admin_api.store import Store
from admin_api.store.connections import server_claim
from admin_api.store.failures import StoreInUseError, is_unavailable
from admin_api.store.identities.users import UserAttributes
from lab.services.postgresql import running_postgresql
from lab.timeouts import TIMEOUT
from sentry_engine import Engine, Policy
from tests.admin_api.conftest import FakeSessions
from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import JournalEntry, Stage

NETWORK = "198.51.100.0/24"
INSIDE = "198.51.100.7"

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run PostgreSQL as its own user"),
]


@pytest.fixture(scope="module")
def postgresql():
    with running_postgresql() as server:
        yield server


@pytest_asyncio.fixture
async def serving(postgresql):
    store = await Store.open(postgresql.url, serving=True)
    yield store
    await store.close()


async def test_a_second_server_is_refused_before_it_touches_a_row(postgresql, serving):
    with pytest.raises(StoreInUseError, match=r"another server uses this database \(PostgreSQL's process \d+"):
        await Store.open(postgresql.url, serving=True)
    command_line = await Store.open(postgresql.url)  # needs no claim
    await command_line.close()
    await serving.close()
    again = await Store.open(postgresql.url, serving=True)
    await again.close()


async def test_a_server_that_is_ending_is_waited_for(postgresql, serving, monkeypatch):
    refused, describe = asyncio.Event(), server_claim._describe_holder

    async def tell(connection):
        refused.set()
        return await describe(connection)

    monkeypatch.setattr(server_claim, "PATIENCE", TIMEOUT)
    monkeypatch.setattr(server_claim, "_describe_holder", tell)
    opening = asyncio.create_task(Store.open(postgresql.url, serving=True))
    await refused.wait()
    await serving.close()
    await (await opening).close()


async def test_the_claim_is_taken_again_after_the_database_was_killed(postgresql, serving):
    postgresql.kill()
    with pytest.raises(Exception) as error:  # noqa: PT011 - any error that says unavailable
        await serving.claim.renew()
    assert is_unavailable(error.value)
    postgresql.start()
    await serving.claim.renew()
    with pytest.raises(StoreInUseError):
        await Store.open(postgresql.url, serving=True)


async def test_a_faster_server_wins_the_claim(postgresql, serving):
    postgresql.kill()
    postgresql.start()
    faster = await Store.open(postgresql.url, serving=True)
    with pytest.raises(StoreInUseError):
        await serving.claim.renew()
    await faster.close()


async def test_a_block_is_in_force_while_the_database_is_killed(postgresql, serving, rules_folder, monkeypatch):
    monkeypatch.setattr(block_writer, "RETRY", 0.05)
    engine, hub = Engine(Policy.load(rules_folder), core="reference"), EventHub()
    enforcement = Enforcement(engine, FakeSessions(engine), serving, [rules_folder], events=hub)
    await enforcement.start()
    assert (await enforcement.add_block("192.0.2.1", "before", None, "me")).stored
    postgresql.kill()
    report = await enforcement.add_block(NETWORK, "", None, "me")
    assert not report.stored
    assert not engine.explain(INSIDE).verdict.accepted
    assert not (await enforcement.remove_block("192.0.2.1", "me")).stored
    with pytest.raises(Exception) as error:  # noqa: PT011
        await serving.check()
    assert is_unavailable(error.value)
    postgresql.start()
    async with asyncio.timeout(TIMEOUT):
        while enforcement.blocks.unstored:  # noqa: ASYNC110 - there is no event of it
            await asyncio.sleep(0.02)
    async with serving.read() as unit:
        assert {row.cidr for row in await unit.blocks.read_all()} == {NETWORK}
        assert await unit.audit.first_broken() is None
    await enforcement.stop()
    engine.close()


async def test_groups_settings_and_usage_are_kept_as_in_sqlite(serving, view):
    settings = {"network": {"routes": ["10.0.0.0/8"]}, "banner": "Hello"}
    async with serving.write() as unit:
        await unit.users.add("alice", "x", UserAttributes(settings=settings, groups=("staff",)))
        await unit.groups.add(unit.groups.make("staff", label="Staff", note="", settings=settings))
    record = await serving.find("alice")
    assert record.overrides["banner"] == "Hello"
    assert (await serving.group_overrides())["staff"] == {**record.overrides, "label": "Staff"}
    for moved in (0, 10, 10, 15):
        counters = Counters(rx_bytes=moved, tx_bytes=2 * moved)
        stage = Stage.SEEN if moved else Stage.OPENED
        seen = JournalEntry(stage, replace(view("metered", user="alice"), counters=counters, metered=True))
        assert await serving.record([seen]) == []
    usage = (await serving.used_so_far())["alice"]
    assert (usage.day, usage.month) == (45, 45)
