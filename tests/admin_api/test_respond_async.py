# SPDX-License-Identifier: GPL-3.0-or-later
"""``Prefer: respond-async``: 202 at once, the outcome at the operation, and changes that are whole or not at all."""

from __future__ import annotations

import asyncio

import pytest

from admin_api.app import describe_api
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
    reader = await server.client_with(Scope.POLICY_READ, Scope.STATUS_READ)
    found = await until_ended(server, await reader.post("/api/v1/policy/reload", headers=ASYNC))
    assert (found["state"], found["error_code"]) == ("failed", "forbidden")


async def test_only_what_changes_nothing_can_be_cancelled(server, monkeypatch):
    release = asyncio.Event()
    reload = server.enforcement.reload

    async def held(_, *arguments, **more):
        await release.wait()
        return await reload(*arguments, **more)

    monkeypatch.setattr(type(server.enforcement), "reload", held)
    answer = await server.client.post("/api/v1/policy/reload", headers=ASYNC)
    refused = await server.client.delete(answer.headers["location"])
    assert (refused.status_code, refused.json()["code"]) == (409, "not_cancellable")
    release.set()
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
