# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks while the database is full or locked: in force at once, reported as not stored, stored when it can be."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from admin_api import idempotency
from admin_api.control.commands import LineCommands
from admin_api.enforcement.blocks import writer as block_writer
from admin_api.enforcement.service import Enforcement
from admin_api.event_hub import EventHub
from admin_api.store import Store
from lab.timeouts import TIMEOUT
from sentry_engine import Engine, Policy

pytestmark = pytest.mark.asyncio

URL = "/api/v1/blocks"
NETWORK = "198.51.100.0/24"
INSIDE = "198.51.100.7"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(block_writer, "RETRY", 0.05)
    monkeypatch.setattr(block_writer, "STORE_WAIT", 0.5)
    monkeypatch.setattr(idempotency, "KEEP_WAIT", 0.5)


class FullDisk:
    """Forbids SQLite to add a page to the file: its error is the one of a full disk. The file has no free page."""

    def __init__(self, store: Store) -> None:
        self._engine = store._engine.sync_engine

    def fill(self) -> None:
        event.listen(self._engine, "checkout", self._forbid)

    def free(self) -> None:
        event.remove(self._engine, "checkout", self._forbid)
        event.listen(self._engine, "checkout", self._permit)

    @staticmethod
    def _forbid(connection, *_):
        connection.cursor().execute("PRAGMA max_page_count = 1")  # at least the pages that there are

    @staticmethod
    def _permit(connection, *_):
        connection.cursor().execute("PRAGMA max_page_count = 1000000")


class LockedDatabase:
    """Another process writes to the database and does not end. The server waits a tenth of a second for it."""

    def __init__(self, store: Store, store_url: str) -> None:
        event.listen(store._engine.sync_engine, "checkout", self._be_impatient)
        self._other = sqlite3.connect(store_url.removeprefix("sqlite:///"), isolation_level=None)

    @staticmethod
    def _be_impatient(connection, *_):
        connection.cursor().execute("PRAGMA busy_timeout = 100")

    def fill(self) -> None:
        self._other.execute("BEGIN IMMEDIATE")

    def free(self) -> None:
        self._other.execute("ROLLBACK")

    def close(self) -> None:
        self._other.close()


@pytest.fixture
def locked(store, store_url):
    made = LockedDatabase(store, store_url)
    yield made
    made.close()


@pytest.fixture(params=["full disk", "locked database"])
def fault(request, server, locked):
    return FullDisk(server.store) if request.param == "full disk" else locked


REASON = "x" * 200  # so that some blocks fill the pages that are there


async def fill_pages(server):
    """Add blocks until one is not stored: then the file has no room left."""
    for number in range(1000):
        answer = await server.client.post(URL, json={"cidr": f"203.0.113.{number % 256}", "reason": REASON})
        if not answer.json()["stored"]:
            return
    raise AssertionError("the disk was never full")


async def stored_networks(server):
    async with server.store.read() as unit:
        return {row.cidr for row in await unit.blocks.read_all()}


async def all_stored(server):
    async with asyncio.timeout(TIMEOUT):
        while server.enforcement.blocks.unstored:  # noqa: ASYNC110 - there is no event of it
            await asyncio.sleep(0.01)


async def events(server, wanted):
    with server.services.events.listening("0-0") as listener:
        async for one in listener.events():
            if one.kind == wanted:
                return one
    raise AssertionError(wanted)


async def test_a_block_is_in_force_and_listed_and_stored_later(server, view, fault):
    fault.fill()
    if isinstance(fault, FullDisk):
        await fill_pages(server)
    server.sessions.add(view(address=INSIDE))
    answer = await server.client.post(URL, json={"cidr": NETWORK, "reason": REASON}, headers={"Idempotency-Key": "a"})
    assert answer.status_code == 201
    block = answer.json()
    assert (block["stored"], block["sessions_cut"]) == (False, 1)
    assert not server.engine.explain(INSIDE).verdict.accepted
    items = (await server.client.get(URL)).json()["items"]
    assert (NETWORK, False) in {(one["cidr"], one["stored"]) for one in items}
    assert not (await server.client.get(f"{URL}/{block['id']}")).json()["stored"]
    assert NETWORK not in await stored_networks(server)
    assert (await server.client.get("/api/v1/status")).json()["blocks_not_stored"] >= 1
    told = await asyncio.wait_for(events(server, "block_changes_not_stored"), TIMEOUT)
    assert told.fields["error"] in {"database or disk is full", "database is locked"}
    fault.free()
    await asyncio.wait_for(events(server, "block_changes_stored"), TIMEOUT)
    assert NETWORK in await stored_networks(server)
    assert (await server.client.get(f"{URL}/{block['id']}")).json()["stored"]
    async with server.store.read() as unit:
        (row,) = [row for row in await unit.audit.page(past=None, limit=1000) if row.target == NETWORK]
        assert row.at.isoformat() == block["created_at"].replace("Z", "+00:00")
        assert await unit.audit.first_broken() is None


async def test_an_unblock_lifts_at_once_and_its_row_goes_later(server, fault):
    made = (await server.client.post(URL, json={"cidr": NETWORK})).json()
    fault.fill()
    if isinstance(fault, FullDisk):
        await fill_pages(server)
    answer = await server.client.delete(f"{URL}/{made['id']}")
    assert server.engine.explain(INSIDE).verdict.accepted
    if isinstance(fault, LockedDatabase):
        assert (answer.status_code, answer.json()["stored"]) == (200, False)
        assert NETWORK in await stored_networks(server)
    assert NETWORK not in {one["cidr"] for one in (await server.client.get(URL)).json()["items"]}
    fault.free()
    await all_stored(server)
    assert NETWORK not in await stored_networks(server)


async def test_the_last_of_several_changes_is_stored(server, locked):
    locked.fill()
    first = (await server.client.post(URL, json={"cidr": NETWORK, "ttl": 60})).json()
    longer = (await server.client.post(URL, json={"cidr": NETWORK, "ttl": 600})).json()
    assert longer["id"] == first["id"]
    await server.client.post(URL, json={"cidr": "192.0.2.1"})
    commands = LineCommands(server.services)
    answer = json.loads(await commands.answer(b'{"command":"unblock_ip","ip":"192.0.2.1"}', "me"))
    assert (answer["ok"], answer["stored"]) == (True, False)
    again = json.loads(await commands.answer(b'{"command":"block_ip","ip":"192.0.2.1","reason":"again"}', "me"))
    assert (again["ok"], again["stored"]) == (True, False)
    locked.free()
    await all_stored(server)
    async with server.store.read() as unit:
        rows = {row.cidr: row for row in await unit.blocks.read_all()}
        actions = [row.action for row in reversed(await unit.audit.page(past=None, limit=100))]
    assert rows[NETWORK].expires_at.isoformat() == longer["expires_at"].replace("Z", "+00:00")
    assert (rows["192.0.2.1/32"].id, rows["192.0.2.1/32"].reason) == (again["id"], "again")
    assert [one for one in actions if one.startswith("block")].count("block_added") == 3


async def test_a_token_is_good_while_its_use_cannot_be_noted(server, fault):
    fault.fill()
    for _ in range(3):
        assert (await server.client.get(URL)).status_code == 200
    fault.free()
    await server.services.token_uses.written()


async def test_a_block_waits_for_no_change_of_a_rule(server, monkeypatch):
    """A change of a rule that waits for the database holds the lock of the policy, not that of the engine."""
    began, go_on = asyncio.Event(), asyncio.Event()
    write = server.store.write

    @asynccontextmanager
    async def slow():
        began.set()
        await go_on.wait()
        async with write() as unit:
            yield unit

    monkeypatch.setattr(server.store, "write", slow)
    rule = {"id": "mine", "type": "blacklist", "remote_addr": "192.0.2.1"}
    waiting = asyncio.create_task(server.client.post("/api/v1/rules", json=rule))
    await asyncio.wait_for(began.wait(), TIMEOUT)
    assert not (await server.client.post(URL, json={"cidr": NETWORK})).json()["stored"]
    assert not server.engine.explain(INSIDE).verdict.accepted
    assert not waiting.done()
    go_on.set()
    assert (await waiting).status_code == 201


async def test_changes_that_wait_are_bounded(server, locked, monkeypatch):
    monkeypatch.setattr(block_writer, "MAX_NOTES", 2)
    locked.fill()
    for number in range(2):
        assert (await server.client.post(URL, json={"cidr": f"192.0.2.{number}"})).status_code == 201
    answer = await server.client.post(URL, json={"cidr": NETWORK})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert server.engine.explain(INSIDE).verdict.accepted
    locked.free()


async def test_a_row_that_is_refused_holds_up_no_other(server, monkeypatch):
    put = block_writer.OwnRows.write

    async def refuse_one(rows, unit, changes):
        if any(change.cidr == NETWORK for change in changes):
            raise IntegrityError("INSERT", {}, Exception("unique"))
        await put(rows, unit, changes)

    monkeypatch.setattr(block_writer.OwnRows, "write", refuse_one)
    bad = asyncio.create_task(server.client.post(URL, json={"cidr": NETWORK}))
    good = await server.client.post(URL, json={"cidr": "192.0.2.1"})
    assert good.json()["stored"]
    assert not (await bad).json()["stored"]
    assert not server.engine.explain(INSIDE).verdict.accepted
    assert await stored_networks(server) == {"192.0.2.1/32"}


async def test_a_stopping_server_says_what_is_lost(store, rules_folder, locked):
    engine, hub = Engine(Policy.load(rules_folder), core="reference"), EventHub()
    enforcement = Enforcement(engine, NoSessions(), store, [rules_folder], events=hub)
    await enforcement.start()
    locked.fill()
    assert not (await enforcement.add_block(NETWORK, "", None, "me")).stored
    await enforcement.stop()
    (lost,) = [one for one in hub._kept if one.kind == "block_changes_lost"]
    assert lost.fields == {"changes": 1, "networks": [NETWORK]}
    locked.free()


class NoSessions:
    def list(self):
        return []

    async def reassess(self, now=None):
        return []

    def affected_by(self, network):
        return []
