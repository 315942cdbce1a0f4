# SPDX-License-Identifier: GPL-3.0-or-later
"""Idempotency-Key: repeated creations are carried out once."""

from __future__ import annotations

import asyncio
import sqlite3
import tracemalloc

import pytest

from admin_api.http.identity import ALL_SCOPES, Principal, Scope
from admin_api.http.limits.body_limit import MAX_BODY
from admin_api.http.paths import PRINCIPAL
from admin_api.idempotency import Idempotency
from lab.timeouts import TIMEOUT

pytestmark = pytest.mark.asyncio

URL = "/api/v1/blocks"
IMPORT = f"{URL}:import"
BODY = {"cidr": "198.51.100.0/24", "ttl": 600}
KEY = {"Idempotency-Key": "abc-1"}
ME = Principal("me", ALL_SCOPES)


async def count_blocks(server):
    return len((await server.client.get(URL)).json()["items"])


async def test_same_answer_and_no_second_creation(server):
    first = await server.client.post(URL, json=BODY, headers=KEY)
    await server.client.delete(first.headers["location"])
    again = await server.client.post(URL, json=BODY, headers=KEY)
    assert again.status_code == first.status_code == 201
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["content-type"] == "application/json"
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    assert await count_blocks(server) == 0


async def test_other_body_or_query(server):
    await server.client.post(URL, json=BODY, headers=KEY)
    answer = await server.client.post(URL, json=BODY | {"ttl": 5}, headers=KEY)
    assert answer.status_code == 422
    assert answer.json()["code"] == "key_reused"
    answer = await server.client.post(URL, json=BODY, headers=KEY, params={"dry_run": True})
    assert answer.json()["code"] == "key_reused"


async def test_other_caller_has_other_keys(server):
    await server.client.post(URL, json=BODY, headers=KEY)
    other = await server.client_with(Scope.BLOCKS_WRITE)
    answer = await other.post(URL, json={"cidr": "192.0.2.1"}, headers=KEY)
    assert answer.status_code == 201


async def test_errors_are_not_kept(server):
    answer = await server.client.post(URL, json={"cidr": "nonsense"}, headers=KEY)
    assert answer.status_code == 422
    answer = await server.client.post(URL, json=BODY, headers=KEY)
    assert answer.status_code == 201


async def test_first_request_still_in_progress(server, monkeypatch):
    began, go_on = asyncio.Event(), asyncio.Event()
    add_block = server.enforcement.add_block

    async def slow(*arguments, **more):
        began.set()
        await go_on.wait()
        return await add_block(*arguments, **more)

    monkeypatch.setattr(server.enforcement, "add_block", slow)
    first = asyncio.create_task(server.client.post(URL, json=BODY, headers=KEY))
    await asyncio.wait_for(began.wait(), TIMEOUT)
    answer = await server.client.post(URL, json=BODY, headers=KEY)
    assert answer.status_code == 409
    assert answer.json()["code"] == "in_flight"
    go_on.set()
    assert (await first).status_code == 201
    assert (await server.client.post(URL, json=BODY, headers=KEY)).status_code == 201


async def test_secret_is_not_kept(server, store_url):
    body = {"name": "x", "scopes": ["blocks:read"]}
    first = await server.client.post("/api/v1/tokens", json=body, headers=KEY)
    again = await server.client.post("/api/v1/tokens", json=body, headers=KEY)
    assert again.status_code == 409
    assert "shown once" in again.json()["detail"]
    with sqlite3.connect(store_url.removeprefix("sqlite:///")) as raw:
        assert first.json()["token"] not in "\n".join(raw.iterdump())


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00e9"])
async def test_malformed_key(server, key):
    answer = await server.client.post(URL, json=BODY, headers={"Idempotency-Key": key.encode()})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/idempotency-key"
    assert await count_blocks(server) == 0


async def test_body_is_bounded(server):
    headers = KEY | {"Content-Type": "application/json"}
    answer = await server.client.post(URL, content=b" " * (MAX_BODY + 1), headers=headers)
    assert answer.status_code == 413


async def test_a_body_that_breaks_off_is_not_carried_out(server):
    """The part that came is a whole JSON document, but not what the caller was about to say."""
    scope = {"type": "http", "method": "POST", "path": URL, "query_string": b"", "headers": [], PRINCIPAL: ME}
    scope["headers"] = [(b"idempotency-key", b"k")]
    messages = iter([{"type": "http.request", "body": b"{}", "more_body": True}, {"type": "http.disconnect"}])
    reached = []

    async def receive():
        return next(messages)

    async def send(message):
        reached.append(message)

    async def app(*_):
        reached.append("the application")

    await Idempotency(app, services=server.services)(scope, receive, send)
    assert reached == []


async def test_an_import_of_blocks_is_carried_out_once(server):
    lines = "198.51.100.0/24\n203.0.113.9\n"
    first = await server.client.post(IMPORT, content=lines, headers=KEY)
    assert first.json()["created"] == 2
    again = await server.client.post(IMPORT, content=lines, headers=KEY)
    assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
    answer = await server.client.post(IMPORT, content=lines + "192.0.2.1\n", headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (422, "key_reused")
    assert await count_blocks(server) == 2


async def test_a_streamed_body_is_not_held(server):
    chunk, chunks = 256 * 1024, 128
    answers, carried_out = [], []

    async def app(_scope, receive, send):
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message["more_body"]
        carried_out.append(size)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def request(last, key=b"k"):
        left = chunks

        async def receive():
            nonlocal left
            left -= 1
            return {"type": "http.request", "body": b"x" * chunk if left else last, "more_body": left > 0}

        async def send(message):
            answers.append(message.get("status"))

        scope = {"type": "http", "method": "POST", "path": IMPORT, "query_string": b"", PRINCIPAL: ME}
        headers = [(b"idempotency-key", key)]
        await Idempotency(app, services=server.services)(scope | {"headers": headers}, receive, send)

    await request(b"warm", key=b"w")  # the store's own first use of memory
    tracemalloc.start()
    try:
        for last in (b"last", b"last", b"else"):
            await request(last)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert carried_out == [chunk * (chunks - 1) + 4] * 2
    assert answers == [200, None] * 3 + [422, None]
    assert peak < 16 * chunk


async def test_anonymous_requests_store_nothing(server):
    assert (await server.anonymous.post(URL, json=BODY, headers=KEY)).status_code == 401
