# SPDX-License-Identifier: GPL-3.0-or-later
"""``/events``: the event stream over HTTP."""

from __future__ import annotations

import json
from ipaddress import ip_address

import httpx
import pytest
import pytest_asyncio

from admin_api.app import create_app
from admin_api.event_hub import MAX_LISTENERS
from admin_api.http.identity import Scope
from admin_api.server import ApiServer
from lab.timeouts import TIMEOUT
from vpn_frontend.settings import Endpoint

pytestmark = pytest.mark.asyncio

URL = "/api/v1/events"


@pytest_asyncio.fixture
async def port(services):
    api = ApiServer(create_app(services), services, listen=Endpoint(ip_address("127.0.0.1"), 0), socket_path=None)
    await api.start()
    yield api.port
    await api.stop()


class TestStream:
    async def test_access(self, server):
        assert (await server.anonymous.get(URL)).status_code == 401
        assert (await (await server.client_with(Scope.USERS_WRITE)).get(URL)).status_code == 403

    async def test_events_arrive_and_resume(self, server, port):
        headers = {"Authorization": f"Bearer {server.token}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=TIMEOUT) as client:
            async with client.stream("GET", URL) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                await client.post("/api/v1/blocks", json={"cidr": "198.51.100.0/24", "reason": "why"})
                server.services.events.emit(
                    "strange", address=ip_address("192.0.2.1"), deep=[{"a": {1, 2}}], text="a\nb"
                )
                block, strange = await read_events(answer, 2)
            assert block["event"] == "block_added"
            assert block["data"]["fields"]["cidr"] == "198.51.100.0/24"
            assert strange["data"]["fields"] == {"address": "192.0.2.1", "deep": [{"a": [1, 2]}], "text": "a\nb"}
            async with client.stream("GET", URL, headers={"Last-Event-ID": block["id"]}) as answer:
                (again,) = await read_events(answer, 1)
            assert again["id"] == strange["id"]
        assert server.services.events.dropped == 0

    async def test_without_follow_the_stream_ends_after_the_latest_event(self, server):
        server.services.events.emit("one")
        server.services.events.emit("two")
        answer = await server.client.get(URL, params={"follow": False}, headers={"Last-Event-ID": "all"})
        kinds = [line for line in answer.text.splitlines() if line.startswith("event:")]
        assert (kinds[0], kinds[-2:]) == ("event: gap", ["event: one", "event: two"])
        assert (await server.client.get(URL, params={"follow": False})).text == ""

    async def test_only_kinds_that_are_asked_for(self, server):
        hub = server.services.events
        for kind in ("block_added", "ready", "block_expired", "ready"):
            hub.emit(kind)
        params = {"follow": False, "kind": ["ready", "block_expired"]}
        answer = await server.client.get(URL, params=params, headers={"Last-Event-ID": f"{hub._boot}-1"})
        kinds = [line for line in answer.text.splitlines() if line.startswith("event:")]
        assert kinds[-3:] == ["event: ready", "event: block_expired", "event: ready"]
        assert "event: block_added" not in kinds
        wrong = await server.client.get(URL, params={"kind": "no_such_kind"})
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/kind/0")

    async def test_batches(self, server):
        hub = server.services.events
        for number in range(5):
            hub.emit("block_expired", id=str(number))
        params = {"follow": False, "batch": 2, "kind": "block_expired"}
        answer = await server.client.get(URL, params=params, headers={"Last-Event-ID": f"{hub._boot}-0"})
        lines = answer.text.splitlines()
        batches = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
        ids = [[event["fields"]["id"] for event in batch] for batch in batches]
        assert ids == [["0", "1"], ["2", "3"], ["4"]]
        assert {line for line in lines if line.startswith("event:")} == {"event: batch"}
        last = [line.removeprefix("id: ") for line in lines if line.startswith("id:")][1]
        rest = await server.client.get(URL, params=params, headers={"Last-Event-ID": last})
        assert '"id":"4"' in rest.text
        assert '"id":"3"' not in rest.text

    async def test_too_many_listeners(self, server):
        hub = server.services.events
        contexts = [hub.listening() for _ in range(MAX_LISTENERS)]
        for context in contexts:
            context.__enter__()
        answer = await server.client.get(URL)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        for context in contexts:
            context.__exit__(None, None, None)


async def read_events(answer, count):
    """The first ``count`` events of a stream, as dictionaries with their data parsed."""
    events, fields = [], {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
            continue
        if "data" in fields:
            events.append(fields | {"data": json.loads(fields["data"])})
        fields = {}
        if len(events) == count:
            return events
    raise AssertionError("the stream ended")
