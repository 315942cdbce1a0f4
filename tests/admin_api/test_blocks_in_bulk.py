# SPDX-License-Identifier: GPL-3.0-or-later
"""``/blocks:import``, ``/blocks:export``, ``/blocks/stream`` and the operation of an import."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
from contextlib import asynccontextmanager

import pytest
from sqlalchemy.exc import OperationalError

from admin_api.enforcement.blocks import bulk_import, writer
from admin_api.enforcement.blocks.bulk_import import BATCH, SLICE
from admin_api.enforcement.policy.safeguards import MAX_CUT
from admin_api.http.identity import Scope
from lab.timeouts import TIMEOUT
from tests.admin_api.conftest import CALLER, make_view

pytestmark = pytest.mark.asyncio

URL = "/api/v1/blocks"
INSIDE = "198.51.100.7"
TEXT = {"content-type": "text/plain"}
NDJSON = {"content-type": "application/x-ndjson"}


async def send(server, body, headers=TEXT, query="", client=None):
    return await (client or server.client).post(f"{URL}:import{query}", content=body, headers=headers)


def parse_events(text):
    for part in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in part.splitlines() if ": " in line)
        if "data" in fields:
            yield fields.get("event"), json.loads(fields["data"]), fields.get("id")


class TestImport:
    async def test_text(self, server, view):
        server.sessions.add(view(address=INSIDE))
        answer = await send(
            server, "# a list\n198.51.100.0/24  # lab\n\n203.0.113.7\r\n2001:db8::/32", query="?reason=R"
        )
        assert answer.status_code == 200, answer.text
        report = answer.json()
        assert (report["created"], report["refused"], report["sessions_cut"]) == (3, 0, 1)
        rows = (await server.client.get(URL)).json()["items"]
        assert [(row["cidr"], row["reason"]) for row in rows] == [
            ("198.51.100.0/24", "R"),
            ("203.0.113.7/32", "R"),
            ("2001:db8::/32", "R"),
        ]
        assert not server.engine.explain(INSIDE).verdict.accepted
        async with server.store.read() as unit:
            assert len(await unit.blocks.read_all()) == 3
            assert (await unit.audit.page(past=None, limit=1))[0].action == "blocks_imported"

    async def test_csv_and_ndjson(self, server):
        csv = 'cidr,reason,ttl\n192.0.2.1,"a, b",60\n192.0.2.2\n'
        lines = '{"cidr": "192.0.2.3", "reason": "c", "ttl": 60}\n{"cidr": "192.0.2.4"}'
        assert (await send(server, csv, {"content-type": "text/csv; charset=utf-8"}, "?ttl=30")).json()["created"] == 2
        assert (await send(server, lines, NDJSON)).json()["created"] == 2
        rows = (await server.client.get(URL)).json()["items"]
        assert [(row["reason"], row["expires_at"] is None) for row in rows] == [
            ("a, b", False),
            ("", False),
            ("c", False),
            ("", True),
        ]

    async def test_what_is_wrong_is_left_out_and_told(self, server):
        body = f"nonsense\n198.51.100.7/24\n127.0.0.0/9\n0.0.0.0/0\n{CALLER}\n203.0.113.9\n{'x' * 5000}\n"
        report = (await send(server, body)).json()
        assert (report["created"], report["refused"]) == (1, 6)
        assert [error["line"] for error in report["errors"]] == [1, 2, 3, 4, 5, 7]
        assert "never_block" in report["errors"][2]["detail"]
        forced = (await send(server, f"{CALLER}\n", query="?force=true")).json()
        assert (forced["created"], forced["refused"]) == (1, 0)

    async def test_many_sessions_need_force(self, server, view):
        for number in range(MAX_CUT + 1):
            server.sessions.add(view(f"s{number}", address=f"198.51.100.{number + 1}"))
        report = (await send(server, "198.51.100.0/24\n")).json()
        assert (report["created"], report["refused"]) == (0, 1)
        assert len(server.sessions.list()) == MAX_CUT + 1

    async def test_a_dry_run_changes_nothing(self, server, view):
        server.sessions.add(view(address=INSIDE))
        await send(server, "203.0.113.9\n")
        report = (await send(server, "198.51.100.0/24\n203.0.113.9\n", query="?dry_run=true")).json()
        assert (report["created"], report["unchanged"], report["sessions_cut"]) == (1, 1, 1)
        assert server.engine.explain(INSIDE).verdict.accepted

    async def test_a_second_import_extends_only(self, server):
        await send(server, "203.0.113.9\n203.0.113.8\n", query="?ttl=60")
        report = (await send(server, "203.0.113.9\n203.0.113.9\n")).json()
        assert (report["created"], report["changed"], report["unchanged"]) == (0, 1, 1)

    async def test_cut_into_pieces(self, server):
        async def pieces():
            for byte in b"203.0.113.1\n203.0.113.2\n203.0.113.3":
                yield bytes([byte])

        assert (await send(server, pieces())).json()["created"] == 3

    async def test_other_media_types_are_refused(self, server):
        assert (await send(server, "x", {"content-type": "application/xml"})).status_code == 415

    async def test_wrong_scope(self, server):
        reader = await server.client_with(Scope.BLOCKS_READ)
        assert (await send(server, "203.0.113.9", client=reader)).status_code == 403


class TestOperation:
    async def test_progress_and_cancel(self, server):
        server.sessions.add(make_view("inside", address="10.9.0.7"))
        half = "\n".join(f"10.9.{n // 256}.{n % 256}" for n in range(BATCH)) + "\n"
        go = asyncio.Event()

        async def slowly():
            yield half.encode()
            await go.wait()

        headers = TEXT | {"content-length": str(2 * len(half))}
        sending = asyncio.create_task(send(server, slowly(), headers))
        async with asyncio.timeout(TIMEOUT):
            while len(server.enforcement.blocks) < BATCH:  # noqa: ASYNC110 - there is no event of it
                await asyncio.sleep(0.01)
            while True:
                (operation,) = (await server.client.get("/api/v1/operations")).json()["items"]
                if operation["percent"] == 50.0:
                    break
                await asyncio.sleep(0.01)
        assert (operation["kind"], operation["state"]) == ("blocks_import", "running")
        url = f"/api/v1/operations/{operation['id']}"
        stranger = await server.client_with(Scope.BLOCKS_WRITE)
        assert (await stranger.delete(url)).status_code == 404
        assert (await server.client.delete(url)).status_code == 204
        await asyncio.gather(sending, return_exceptions=True)
        ended = (await server.client.get(url)).json()
        assert (ended["state"], ended["result"]["created"]) == ("cancelled", BATCH)
        assert ended["result"]["sessions_cut"] == 1
        assert "inside" not in server.sessions.views
        [noted] = (await server.client.get("/api/v1/audit?action=blocks_imported")).json()["items"]
        assert noted["detail"] == {"created": BATCH, "changed": 0, "refused": 0, "ended_early": True}
        assert (await server.client.delete(url)).json()["code"] == "operation_ended"
        assert len(server.enforcement.blocks) == BATCH

    async def test_the_result_is_kept(self, server):
        answer = (await send(server, "203.0.113.9\n")).json()
        operation = (await server.client.get(f"/api/v1/operations/{answer['operation']}")).json()
        assert (operation["state"], operation["percent"]) == ("done", 100.0)
        assert operation["result"]["created"] == 1


class TestExport:
    @pytest.mark.parametrize(
        ("form", "media"), [("text", "text/plain"), ("csv", "text/csv"), ("ndjson", "application/x-ndjson")]
    )
    async def test_what_is_exported_can_be_imported(self, server, form, media):
        await send(server, "203.0.113.9\n2001:db8::/48\n", query="?reason=a,%20b&ttl=600")
        exported = await server.client.get(f"{URL}:export?format={form}")
        assert exported.headers["content-type"].startswith(media)
        rows = (await server.client.get(URL)).json()["items"]
        for row in rows:
            await server.client.delete(f"{URL}/{row['id']}")
        assert (await send(server, exported.content, {"content-type": media})).json()["created"] == 2
        again = (await server.client.get(URL)).json()["items"]
        assert [row["cidr"] for row in again] == [row["cidr"] for row in rows]
        if form != "text":
            assert {row["reason"] for row in again} == {"a, b"}
            assert all(row["expires_at"] for row in again)


class TestStream:
    async def test_state_then_changes(self, server):
        await send(server, "203.0.113.9\n203.0.113.8\n")
        text = (await server.client.get(f"{URL}/stream?follow=false")).text
        (kind, data, _), (ready, _, mark) = parse_events(text)
        assert (kind, ready) == ("blocks", "ready")
        assert [block["cidr"] for block in data["added"]] == ["203.0.113.9/32", "203.0.113.8/32"]
        made = await server.client.post(URL, json={"cidr": "192.0.2.0/30"})
        gone = data["added"][0]["id"]
        await server.client.delete(f"{URL}/{gone}")
        headers = {"last-event-id": mark}
        ((kind, data, _),) = parse_events((await server.client.get(f"{URL}/stream?follow=false", headers=headers)).text)
        assert kind == "changes"
        assert [block["id"] for block in data["added"]] == [made.json()["id"]]
        assert data["removed"] == ["203.0.113.9/32"]

    @pytest.mark.parametrize("last", ["nonsense", "1-5", "-"])
    async def test_an_unknown_id_begins_again(self, server, last):
        text = (await server.client.get(f"{URL}/stream?follow=false", headers={"last-event-id": last})).text
        assert [event[0] for event in parse_events(text)] == ["reset", "ready"]

    async def test_a_follower_that_missed_too_much_begins_again(self, server, monkeypatch):
        text = (await server.client.get(f"{URL}/stream?follow=false")).text
        mark = [event[2] for event in parse_events(text)][-1]
        changes = server.enforcement.blocks.changes
        changes._kept = type(changes._kept)(maxlen=1)
        await send(server, "203.0.113.9\n203.0.113.8\n")
        text = (await server.client.get(f"{URL}/stream?follow=false", headers={"last-event-id": mark})).text
        assert [event[0] for event in parse_events(text)] == ["reset", "blocks", "ready"]


async def test_a_restart_has_imported_blocks(server, store):
    await send(server, "".join(f"10.7.{n // 256}.{n % 256}\n" for n in range(3 * BATCH + 1)))
    async with store.read() as unit:
        rows = [row async for some in unit.blocks.read_in_steps() for row in some]
    assert len(rows) == 3 * BATCH + 1


async def test_an_import_holds_no_other_request_up(server, monkeypatch):
    """Others run after each slice, and full garbage collections do not scan the blocks that are there."""
    monkeypatch.setattr(bulk_import, "REASSESS_EVERY", 1)
    blocks, turns, sizes = server.enforcement.blocks, 0, []
    add_many, frozen = blocks.add_many, gc.get_freeze_count()

    def add(new, by):
        sizes.append((len(new), turns))
        return add_many(new, by)

    async def count_turns():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(blocks, "add_many", add)
    counting = asyncio.create_task(count_turns())
    await send(server, "".join(f"10.7.{n // 256}.{n % 256}\n" for n in range(2 * BATCH)))
    counting.cancel()
    assert max(size for size, _ in sizes) <= SLICE < BATCH
    assert all(before < after for (_, before), (_, after) in itertools.pairwise(sizes))
    assert gc.get_freeze_count() >= frozen + 2 * BATCH


async def test_an_import_waits_for_a_slow_database_and_ends_at_one_that_fails(server, monkeypatch):
    monkeypatch.setattr(writer, "STORE_WAIT", 0.0)  # for which one block waits
    assert (await send(server, "203.0.113.0/25\n")).json()["created"] == 1

    @asynccontextmanager
    async def refuse():
        raise OperationalError("INSERT", {}, Exception("database or disk is full"))
        yield

    monkeypatch.setattr(server.store, "write", refuse)
    answer = await send(server, "203.0.113.128/25\n")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    monkeypatch.undo()
