# SPDX-License-Identifier: GPL-3.0-or-later
"""``Prefer: respond-async``: 202 at once, the outcome at the operation, and changes that are whole or not at all."""

from __future__ import annotations

import asyncio

import pytest

from admin_api.app import describe_api
from admin_api.enforcement.blocks.bulk_import import BATCH, BlockImport
from admin_api.enforcement.policy.state import PolicyState
from admin_api.http.identity import Scope
from admin_api.respond_async import LONG, OPERATION_IDS
from lab.timeouts import TIMEOUT

pytestmark = pytest.mark.asyncio

ASYNC = {"prefer": "respond-async"}
RULES = {"wolfsentry": {"version": "1.6.3", "rules": [{"id": "x", "type": "blacklist", "remote_addr": "192.0.2.7"}]}}


async def until_ended(server, answer):
    """Returns the operation that a 202 names, once it has ended."""
    assert answer.status_code == 202, answer.text
    assert answer.headers["preference-applied"] == "respond-async"
    operation = server.services.operations.get(answer.json()["id"])
    async with asyncio.timeout(TIMEOUT):
        await asyncio.wait([operation._task])
    return (await server.client.get(answer.headers["location"])).json()


async def test_the_outcome_is_what_the_request_would_have_got(server):
    now = (await server.client.post("/api/v1/policy/check", json=RULES)).json()
    found = await until_ended(server, await server.client.post("/api/v1/policy/check", json=RULES, headers=ASYNC))
    assert (found["state"], found["percent"], found["kind"]) == ("done", 100.0, "policy/check")
    assert found["result"].keys() == now.keys()
    assert {name for name in now if found["result"][name] != now[name]} <= {"at"}


async def test_a_change_is_made_and_a_refused_one_tells_its_problem(server):
    server.write_rules(RULES)
    found = await until_ended(server, await server.client.post("/api/v1/policy/reload", headers=ASYNC))
    assert found["state"] == "done"
    assert not server.engine.explain("192.0.2.7").verdict.accepted
    server.write_rules("no JSON")
    found = await until_ended(server, await server.client.post("/api/v1/policy/reload", headers=ASYNC))
    assert (found["state"], found["error_code"]) == ("failed", "invalid_policy")
    assert not server.engine.explain("192.0.2.7").verdict.accepted


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("policy/check", b"{", 422),
        ("policy/check", b"\xff", 400),
        ("policy/apply", b'{"document": 5}', 422),
        ("policy/rollback", b'{"version": 1, "version": 2}', 422),
        ("users/import", b"[]", 422),
        ("policy/reload?dry_run=perhaps", b"", 422),
        ("policy/reload?dryrun=true", b"", 400),
        ("blocks:import?ttl=-1", b"192.0.2.7", 415),
    ],
)
async def test_a_malformed_request_is_refused_before_it_is_an_operation(server, path, body, status):
    headers = ASYNC | {"content-type": "application/json"}
    answer = await server.client.post(f"/api/v1/{path}", content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert server.services.operations.list() == []


async def test_a_caller_without_the_scope_gets_no_operation(server):
    reader = await server.client_with(Scope.POLICY_READ)
    assert (await reader.post("/api/v1/policy/reload", headers=ASYNC)).status_code == 403
    assert server.services.operations.list() == []


async def test_no_more_than_the_limit_run_at_a_time(server, monkeypatch):
    monkeypatch.setattr("admin_api.long_operations.MAX_RUNNING", 0)
    answer = await server.client.post("/api/v1/policy/check", json=RULES, headers=ASYNC)
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")


async def test_a_reload_is_cancelled_until_it_is_put_in_force(server, monkeypatch):
    reached, release = asyncio.Event(), asyncio.Event()

    def hold(name):
        original = getattr(PolicyState, name)

        async def held(*arguments):
            reached.set()
            await release.wait()
            return await original(*arguments)

        monkeypatch.setattr(PolicyState, name, held)

    server.write_rules(RULES)
    hold("compile")
    answer = await server.client.post("/api/v1/policy/reload", headers=ASYNC)
    async with asyncio.timeout(TIMEOUT):
        await reached.wait()
    shown = (await server.client.get(answer.headers["location"])).json()
    assert (shown["percent"], shown["cancellable"]) == (25.0, True)
    assert (await server.client.delete(answer.headers["location"])).status_code == 204
    assert (await until_ended(server, answer))["state"] == "cancelled"
    assert server.engine.explain("192.0.2.7").verdict.accepted
    reached.clear()
    release.set()
    monkeypatch.undo()
    release.clear()
    hold("put_in_force")
    answer = await server.client.post("/api/v1/policy/reload", headers=ASYNC)
    async with asyncio.timeout(TIMEOUT):
        await reached.wait()
    shown = (await server.client.get(answer.headers["location"])).json()
    assert (shown["percent"], shown["cancellable"]) == (50.0, False)
    refused = await server.client.delete(answer.headers["location"])
    assert (refused.status_code, refused.json()["code"]) == (409, "not_cancellable")
    release.set()
    assert (await until_ended(server, answer))["state"] == "done"
    assert not server.engine.explain("192.0.2.7").verdict.accepted


async def test_an_import_of_users_shows_its_progress_and_is_cancelled(server, monkeypatch):
    reached, release = asyncio.Event(), asyncio.Event()
    count = 0

    async def held(_):
        nonlocal count
        count += 1
        if count == 3:
            reached.set()
            await release.wait()
        return "$5$x"

    monkeypatch.setattr("admin_api.users.service._hash", held)
    users = [{"name": f"user{n}", "password": "a long password"} for n in range(8)]
    answer = await server.client.post("/api/v1/users/import", json={"users": users}, headers=ASYNC)
    async with asyncio.timeout(TIMEOUT):
        await reached.wait()
    assert (await server.client.get(answer.headers["location"])).json()["percent"] == 25.0
    assert (await server.client.delete(answer.headers["location"])).status_code == 204
    assert (await until_ended(server, answer))["state"] == "cancelled"
    assert (await server.client.get("/api/v1/users/user0")).status_code == 404


async def test_an_import_of_blocks_outlives_its_connection(server):
    lines = "".join(f"198.51.100.{n}\n" for n in range(200)) + "no address\n"
    headers = ASYNC | {"content-type": "text/plain"}
    answer = await server.client.post("/api/v1/blocks:import?reason=list", content=lines, headers=headers)
    found = await until_ended(server, answer)
    assert (found["state"], found["kind"], found["percent"]) == ("done", "blocks_import", 100.0)
    assert (found["result"]["created"], found["result"]["refused"]) == (200, 1)
    assert found["result"]["operation"] == found["id"]
    assert [one["id"] for one in (await server.client.get("/api/v1/operations")).json()["items"]] == [found["id"]]


async def test_an_import_of_blocks_is_cancelled_and_tells_what_stays(server, monkeypatch):
    reached, release = asyncio.Event(), asyncio.Event()
    add_batch = BlockImport.add_batch

    async def held(self, lines):
        await add_batch(self, lines)
        reached.set()
        await release.wait()

    monkeypatch.setattr(BlockImport, "add_batch", held)
    lines = "".join(f"2001:db8:{n:x}::/48\n" for n in range(2 * BATCH))
    headers = ASYNC | {"content-type": "text/plain"}
    answer = await server.client.post("/api/v1/blocks:import", content=lines, headers=headers)
    async with asyncio.timeout(TIMEOUT):
        await reached.wait()
    assert (await server.client.delete(answer.headers["location"])).status_code == 204
    found = await until_ended(server, answer)
    assert (found["state"], found["result"]["created"]) == ("cancelled", BATCH)
    listed = await server.client.get("/api/v1/operations?state=cancelled&kind=blocks_import")
    assert [one["id"] for one in listed.json()["items"]] == [found["id"]]


async def test_bodies_of_operations_are_bounded_together(server, monkeypatch):
    monkeypatch.setattr("admin_api.respond_async.MAX_HELD", 1000)
    headers = ASYNC | {"content-type": "text/plain"}
    for _ in range(2):  # what was refused is not held
        answer = await server.client.post("/api/v1/blocks:import", content="#" * 1001, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        answer = await server.client.post("/api/v1/blocks:import", content="#" * 900, headers=headers)
        assert (await until_ended(server, answer))["state"] == "done"


async def test_a_simulation_is_cancelled(server, monkeypatch):
    began, release = asyncio.Event(), asyncio.Event()

    async def held(*_, **__):
        began.set()
        await release.wait()

    monkeypatch.setattr(type(server.enforcement), "simulate", held)
    answer = await server.client.post("/api/v1/policy/simulate", json=RULES, headers=ASYNC)
    async with asyncio.timeout(TIMEOUT):
        await began.wait()
    assert (await server.client.delete(answer.headers["location"])).status_code == 204
    assert (await until_ended(server, answer))["state"] == "cancelled"


async def test_other_requests_and_other_preferences_are_answered_as_ever(server):
    for preference in ("return=minimal", "respond-asynchronously", ""):
        answer = await server.client.post("/api/v1/policy/check", json=RULES, headers={"prefer": preference})
        assert answer.status_code == 200
    assert (await server.client.get("/api/v1/blocks", headers=ASYNC)).status_code == 200
    assert (await server.anonymous.post("/api/v1/policy/check", json=RULES, headers=ASYNC)).status_code == 401


async def test_the_description_names_the_same_operations():
    found = {
        operation["operationId"]: path
        for path, methods in describe_api()["paths"].items()
        for operation in methods.values()
        if "202" in operation["responses"] and "Prefer" in [one["name"] for one in operation.get("parameters", [])]
    }
    assert found.keys() == OPERATION_IDS
    assert all(LONG.fullmatch(path) for path in found.values())


async def test_a_body_beyond_the_limit_of_all_bodies_is_held_no_longer(server, monkeypatch):
    monkeypatch.setattr("admin_api.http.limits.body_limit.MAX_BODY", 800)
    monkeypatch.setattr("admin_api.respond_async.MAX_HELD", 850)

    async def pieces():  # of a length that is not announced
        for _ in range(9):
            yield b" " * 100

    headers = ASYNC | {"content-type": "application/json"}
    for _ in range(2):
        answer = await server.client.post("/api/v1/policy/check", content=pieces(), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    answer = await server.client.post("/api/v1/policy/check", json=RULES, headers=ASYNC)
    assert (await until_ended(server, answer))["state"] == "done"


@pytest.mark.parametrize(
    ("path", "content", "reading"),
    [
        ("policy/check", RULES, Scope.POLICY_READ),
        ("users/import", {"users": [{"name": "eve", "password": "correct horse battery"}]}, Scope.USERS_READ),
    ],
)
async def test_the_outcome_of_another_caller_needs_the_scope_of_its_request(server, path, content, reading):
    answer = await server.client.post(f"/api/v1/{path}", json=content, headers=ASYNC)
    await until_ended(server, answer)
    watcher = await server.client_with(Scope.STATUS_READ)
    reader = await server.client_with(Scope.STATUS_READ, reading)
    for client, told in ((watcher, False), (reader, True)):
        shown = (await client.get(answer.headers["location"])).json()
        listed = (await client.get("/api/v1/operations")).json()["items"][0]
        assert shown == listed
        assert shown["state"] in ("done", "failed")
        assert (shown["result"] is not None or shown["error"] is not None) is told
